//! What kind of work a query is.

use crate::{Analysed, Catalog};
use std::collections::BTreeMap;
use streamsync_core::{Class, Constraint, ConstraintOp, Partition, TableName};
use streamsync_lake::tables;

/// The partition column whose values are days.
const DATE: &str = "date";

/// What kind of work a query is: a lookup if it asks every table for few values of the column that
/// the table is sorted by, as a worker sees it too; archive if all that it reads is older than the
/// newest day of its table by more than some days.
pub(crate) fn classify(
    analysed: &Analysed,
    partitions: &[Partition],
    catalog: &Catalog,
    archive_after_days: u32,
) -> Class {
    let constraints = &analysed.constraints;
    let is_lookup = analysed
        .tables
        .iter()
        .all(|table| asks_by_key(table, constraints));
    let newest = partitions
        .iter()
        .map(|one| (one, catalog.newest_day(&one.table)));
    let days: Vec<_> = newest
        .map(|(one, newest)| newest.zip(day(one)).map(|(newest, day)| newest - day))
        .collect();
    let is_old = |age: &Option<i64>| age.is_some_and(|age| age > i64::from(archive_after_days));
    if !days.is_empty() && days.iter().all(is_old) {
        Class::Archive
    } else if is_lookup {
        Class::Lookup
    } else {
        Class::Scan
    }
}

fn asks_by_key(table: &TableName, constraints: &BTreeMap<TableName, Vec<Constraint>>) -> bool {
    let sorted_by = tables::definition(table.as_str()).and_then(|table| table.sort_by.first());
    let mut constraints = constraints.get(table).into_iter().flatten();
    constraints.any(|constraint| {
        let few = matches!(constraint.op, ConstraintOp::Eq(_) | ConstraintOp::In(_));
        few && sorted_by.is_some_and(|column| constraint.column == *column)
    })
}

/// The day of a partition, counted from some fixed day.
pub(crate) fn day(partition: &Partition) -> Option<i64> {
    let date = partition.values.get(DATE)?.as_deref()?;
    let mut parts = date.splitn(3, '-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    // Days from civil (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn on(date: &str) -> Partition {
        Partition {
            table: "blocks".parse().unwrap(),
            values: [(DATE.to_owned(), Some(date.to_owned()))].into(),
        }
    }

    #[test]
    fn days_are_counted_through_leap_years() {
        let between = |from: &str, to: &str| day(&on(to)).unwrap() - day(&on(from)).unwrap();
        assert_eq!(between("1970-01-01", "2024-03-14"), 19_796);
        assert_eq!(between("2024-02-28", "2024-03-01"), 2);
        assert_eq!(between("2023-02-28", "2023-03-01"), 1);
        assert_eq!(between("1999-12-31", "2000-01-01"), 1);
        assert_eq!(day(&on("yesterday")), None);
    }
}
