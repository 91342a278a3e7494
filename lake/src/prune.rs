//! Choosing the files that can hold the rows that a query wants.

use crate::{
    ColumnRange, Constraint, ConstraintOp, DataFile, Scalar,
    tables::{PartitionBy, TableDefinition, bucket},
};
use std::cmp::Ordering;

/// Microseconds in a day.
const DAY: i64 = 86_400_000_000;

/// The files that can hold a row that meets all the constraints, in the order given.
///
/// Partition values and column statistics decide. What is not known keeps the file: a column
/// without statistics, a value of another kind than the column's, a column that the table has not.
/// On a table cut by [`PartitionBy::Bucket`] a constraint on the key also decides by bucket, and on
/// a table cut by date one on `block_time` by day.
///
/// ```
/// use streamsync_lake::{Constraint, ConstraintOp, DataFile, Scalar, prune, tables};
///
/// let signatures = tables::definition("signatures").unwrap();
/// let files: Vec<DataFile> = (0..tables::BUCKETS)
///     .map(|bucket| DataFile {
///         path: format!("bucket={bucket}/part.parquet"),
///         size: 1,
///         rows: None,
///         partition: [("bucket".to_owned(), Some(bucket.to_string()))].into(),
///         columns: Default::default(),
///     })
///     .collect();
/// let wanted = Constraint {
///     column: "signature".to_owned(),
///     op: ConstraintOp::Eq(Scalar::Text("5VERv8".to_owned())),
/// };
/// assert_eq!(prune(signatures, &files, &[wanted]).len(), 1);
/// ```
pub fn prune<'a>(
    definition: &TableDefinition,
    files: &'a [DataFile],
    constraints: &[Constraint],
) -> Vec<&'a DataFile> {
    let mut all = constraints.to_vec();
    all.extend(
        constraints
            .iter()
            .filter_map(|constraint| implied(definition.partition_by, constraint)),
    );
    files
        .iter()
        .filter(|file| {
            all.iter().all(|constraint| {
                range(definition, file, &constraint.column)
                    .is_none_or(|range| range.may_meet(&constraint.op))
            })
        })
        .collect()
}

/// What a constraint on a row's columns says about the row's partition.
fn implied(partition_by: PartitionBy, constraint: &Constraint) -> Option<Constraint> {
    let op = match partition_by {
        PartitionBy::Bucket(key) if constraint.column == key => bucket_op(&constraint.op)?,
        PartitionBy::Date if constraint.column == "block_time" => day_op(&constraint.op)?,
        _ => return None,
    };
    Some(Constraint {
        column: partition_by.column().to_owned(),
        op,
    })
}

fn bucket_op(op: &ConstraintOp) -> Option<ConstraintOp> {
    let bucket_of = |value: &Scalar| match value {
        Scalar::Text(key) => Some(Scalar::Int(bucket(key).into())),
        _ => None,
    };
    match op {
        ConstraintOp::Eq(value) => bucket_of(value).map(ConstraintOp::Eq),
        ConstraintOp::In(values) => values
            .iter()
            .map(bucket_of)
            .collect::<Option<_>>()
            .map(ConstraintOp::In),
        _ => None,
    }
}

/// The day of a time is not below another's where the time is not, so bounds carry over; but a
/// time *below* a bound may be on the bound's own day.
fn day_op(op: &ConstraintOp) -> Option<ConstraintOp> {
    let day_of = |value: &Scalar| match value {
        Scalar::TimestampMicros(micros) => {
            i32::try_from(micros.div_euclid(DAY)).ok().map(Scalar::Date)
        }
        _ => None,
    };
    match op {
        ConstraintOp::Eq(time) => day_of(time).map(ConstraintOp::Eq),
        ConstraintOp::Lt(time) | ConstraintOp::LtEq(time) => day_of(time).map(ConstraintOp::LtEq),
        ConstraintOp::Gt(time) | ConstraintOp::GtEq(time) => day_of(time).map(ConstraintOp::GtEq),
        ConstraintOp::In(times) => times
            .iter()
            .map(day_of)
            .collect::<Option<_>>()
            .map(ConstraintOp::In),
        ConstraintOp::IsNull => Some(ConstraintOp::IsNull),
        ConstraintOp::IsNotNull => Some(ConstraintOp::IsNotNull),
    }
}

/// What is known of a column's values in one file.
struct Known {
    min: Option<Scalar>,
    max: Option<Scalar>,
    /// Whether there is no NULL.
    no_nulls: bool,
    /// Whether there is nothing but NULLs.
    only_nulls: bool,
}

/// Whether a value within these bounds may meet the condition.
pub(crate) fn may_meet(range: &ColumnRange, op: &ConstraintOp) -> bool {
    let known = Known {
        min: range.min.clone(),
        max: range.max.clone(),
        no_nulls: range.nulls == Some(0),
        only_nulls: false,
    };
    known.may_meet(op)
}

fn range(definition: &TableDefinition, file: &DataFile, column: &str) -> Option<Known> {
    if let Some(value) = file.partition.get(column) {
        let Some(text) = value else {
            return Some(Known {
                min: None,
                max: None,
                no_nulls: false,
                only_nulls: true,
            });
        };
        let field = definition.schema.field_with_name(column).ok()?;
        let value = Scalar::parse(field.data_type(), text);
        return Some(Known {
            min: value.clone(),
            max: value,
            no_nulls: true,
            only_nulls: false,
        });
    }
    let ColumnRange { min, max, nulls } = file.columns.get(column)?;
    Some(Known {
        min: min.clone(),
        max: max.clone(),
        no_nulls: *nulls == Some(0),
        only_nulls: nulls.is_some() && *nulls == file.rows,
    })
}

impl Known {
    /// Whether some value may meet the condition.
    fn may_meet(&self, op: &ConstraintOp) -> bool {
        match op {
            ConstraintOp::IsNull => !self.no_nulls,
            _ if self.only_nulls => false,
            ConstraintOp::IsNotNull => true,
            ConstraintOp::Eq(value) => self.may_hold(value),
            ConstraintOp::In(values) => values.iter().any(|value| self.may_hold(value)),
            ConstraintOp::Lt(value) => self.min_is(value, |order| order.is_lt()),
            ConstraintOp::LtEq(value) => self.min_is(value, |order| order.is_le()),
            ConstraintOp::Gt(value) => self.max_is(value, |order| order.is_gt()),
            ConstraintOp::GtEq(value) => self.max_is(value, |order| order.is_ge()),
        }
    }

    fn may_hold(&self, value: &Scalar) -> bool {
        self.min_is(value, |order| order.is_le()) && self.max_is(value, |order| order.is_ge())
    }

    fn min_is(&self, value: &Scalar, meets: impl Fn(Ordering) -> bool) -> bool {
        compare(self.min.as_ref(), value).is_none_or(meets)
    }

    fn max_is(&self, value: &Scalar, meets: impl Fn(Ordering) -> bool) -> bool {
        compare(self.max.as_ref(), value).is_none_or(meets)
    }
}

fn compare(bound: Option<&Scalar>, value: &Scalar) -> Option<Ordering> {
    bound?.partial_cmp(value)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::tables;
    use proptest::{prelude::*, sample::select};

    /// A row of `log_messages`, as far as pruning looks at it.
    #[derive(Clone, Debug)]
    struct Row {
        slot: i64,
        time: Option<i64>,
        message: String,
    }

    impl Row {
        fn day(&self) -> Option<i32> {
            self.time.map(|time| time.div_euclid(DAY) as i32)
        }

        fn value(&self, column: &str) -> Option<Scalar> {
            match column {
                "slot" => Some(Scalar::Int(self.slot.into())),
                "block_time" => self.time.map(Scalar::TimestampMicros),
                "date" => self.day().map(Scalar::Date),
                "message" => Some(Scalar::Text(self.message.clone())),
                other => panic!("no column {other}"),
            }
        }

        fn meets(&self, constraint: &Constraint) -> bool {
            let Some(mine) = self.value(&constraint.column) else {
                return constraint.op == ConstraintOp::IsNull;
            };
            match &constraint.op {
                ConstraintOp::Eq(value) => mine == *value,
                ConstraintOp::Lt(value) => mine < *value,
                ConstraintOp::LtEq(value) => mine <= *value,
                ConstraintOp::Gt(value) => mine > *value,
                ConstraintOp::GtEq(value) => mine >= *value,
                ConstraintOp::In(values) => values.contains(&mine),
                ConstraintOp::IsNull => false,
                ConstraintOp::IsNotNull => true,
            }
        }
    }

    /// The file of some rows of one day, with as much known of it as a writer cared to say, and
    /// texts cut as short as Delta allows.
    fn file(rows: &[Row], tells: u8) -> DataFile {
        let mut columns = std::collections::BTreeMap::new();
        for (bit, column) in ["slot", "block_time", "message"].into_iter().enumerate() {
            let values: Vec<Scalar> = rows.iter().filter_map(|row| row.value(column)).collect();
            let extreme = |wanted: Ordering| {
                values.iter().cloned().reduce(|best, value| {
                    if value.partial_cmp(&best) == Some(wanted) {
                        value
                    } else {
                        best
                    }
                })
            };
            let cut = |value, end: &str| match value {
                Scalar::Text(text) => {
                    let short: String = text.chars().take(1).collect();
                    Scalar::Text(if short == text { text } else { short + end })
                }
                other => other,
            };
            if tells & (1 << bit) != 0 {
                let range = ColumnRange {
                    min: extreme(Ordering::Less).map(|value| cut(value, "")),
                    max: extreme(Ordering::Greater).map(|value| cut(value, "\u{7F}")),
                    nulls: Some((rows.len() - values.len()) as u64),
                };
                columns.insert(column.to_owned(), range);
            }
        }
        let day = rows[0].day().map(|day| {
            let date = date_text(day);
            assert_eq!(
                Scalar::parse(&arrow::datatypes::DataType::Date32, &date),
                Some(Scalar::Date(day))
            );
            date
        });
        DataFile {
            path: String::new(),
            size: 1,
            rows: (tells & 8 != 0).then_some(rows.len() as u64),
            partition: [("date".to_owned(), day)].into(),
            columns,
        }
    }

    /// The days around 1970-01-01, which is as far as these tests go.
    fn date_text(day: i32) -> String {
        if day < 0 {
            format!("1969-12-{:02}", 32 + day)
        } else {
            format!("1970-01-{:02}", 1 + day)
        }
    }

    fn rows() -> impl Strategy<Value = Vec<Row>> {
        let row = (0_i64..6, -5_i64..5, "[a-c]{1,3}");
        let rows = proptest::collection::vec(row, 1..5);
        // All rows of a file are of one day, or have none.
        (proptest::option::of(-2_i64..3), rows).prop_map(|(day, rows)| {
            let row = |(slot, within, message): (i64, i64, String)| Row {
                slot,
                time: day.map(|day| day * DAY + within.rem_euclid(5) * (DAY / 5)),
                message,
            };
            rows.into_iter().map(row).collect()
        })
    }

    fn value(column: &'static str) -> BoxedStrategy<Scalar> {
        match column {
            "slot" => (-1_i128..7).prop_map(Scalar::Int).boxed(),
            "message" => "[a-c]{0,3}".prop_map(Scalar::Text).boxed(),
            "date" => (-3_i32..4).prop_map(Scalar::Date).boxed(),
            _ => (-12_i64..18, -1_i64..2)
                .prop_map(|(fifth, more)| Scalar::TimestampMicros(fifth * (DAY / 5) + more))
                .boxed(),
        }
    }

    fn constraint() -> impl Strategy<Value = Constraint> {
        select(vec!["slot", "block_time", "date", "message"]).prop_flat_map(|column| {
            // Now and then a value of another kind, which says nothing.
            let value = || prop_oneof![9 => value(column), 1 => Just(Scalar::Bool(true))];
            prop_oneof![
                value().prop_map(ConstraintOp::Eq),
                value().prop_map(ConstraintOp::Lt),
                value().prop_map(ConstraintOp::LtEq),
                value().prop_map(ConstraintOp::Gt),
                value().prop_map(ConstraintOp::GtEq),
                proptest::collection::vec(value(), 0..4).prop_map(ConstraintOp::In),
                Just(ConstraintOp::IsNull),
                Just(ConstraintOp::IsNotNull),
            ]
            .prop_map(move |op| Constraint {
                column: column.to_owned(),
                op,
            })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn a_file_with_a_matching_row_is_kept(
            rows in rows(),
            tells in 0_u8..16,
            constraints in proptest::collection::vec(constraint(), 0..4),
        ) {
            let definition = tables::definition("log_messages").unwrap();
            let files = [file(&rows, tells)];
            let matches = rows.iter().any(|row| constraints.iter().all(|each| row.meets(each)));
            if matches {
                prop_assert_eq!(prune(definition, &files, &constraints).len(), 1);
            }
        }

        #[test]
        fn a_key_is_looked_for_in_its_bucket_only(
            key in "[1-9A-HJ-NP-Za-km-z]{32,44}",
            others in proptest::collection::vec("[1-9A-HJ-NP-Za-km-z]{32,44}", 0..3),
        ) {
            let definition = tables::definition("account_transactions").unwrap();
            let files: Vec<DataFile> = (0..tables::BUCKETS)
                .map(|bucket| DataFile {
                    partition: [("bucket".to_owned(), Some(bucket.to_string()))].into(),
                    ..file(&[Row { slot: 1, time: None, message: String::new() }], 0)
                })
                .collect();
            let buckets = |op| {
                let wanted = Constraint { column: "account".to_owned(), op };
                prune(definition, &files, &[wanted])
                    .iter()
                    .map(|file| file.partition["bucket"].clone().unwrap().parse().unwrap())
                    .collect::<std::collections::BTreeSet<i32>>()
            };
            let text = |key: &String| Scalar::Text(key.clone());
            prop_assert_eq!(buckets(ConstraintOp::Eq(text(&key))), [bucket(&key)].into());
            let all: Vec<String> = others.into_iter().chain([key]).collect();
            prop_assert_eq!(
                buckets(ConstraintOp::In(all.iter().map(text).collect())),
                all.iter().map(|key| bucket(key)).collect()
            );
        }
    }

    #[test]
    fn what_cannot_match_is_dropped() {
        let definition = tables::definition("log_messages").unwrap();
        let row = |slot, time| Row {
            slot,
            time,
            message: "m".to_owned(),
        };
        let files = [
            file(&[row(1, Some(5)), row(3, Some(6))], 15),
            file(&[row(4, Some(DAY))], 15),
            file(&[row(9, None)], 15),
        ];
        let kept = |column: &str, op| -> Vec<bool> {
            let constraint = Constraint {
                column: column.to_owned(),
                op,
            };
            let kept = prune(definition, &files, &[constraint]);
            let is_kept = |file: &DataFile| kept.iter().any(|each| std::ptr::eq(*each, file));
            files.iter().map(is_kept).collect()
        };
        use ConstraintOp::{Eq, Gt, GtEq, In, IsNotNull, IsNull, Lt, LtEq};
        let int = Scalar::Int;
        assert_eq!(kept("slot", Eq(int(2))), [true, false, false]);
        assert_eq!(kept("slot", Lt(int(4))), [true, false, false]);
        assert_eq!(kept("slot", LtEq(int(4))), [true, true, false]);
        assert_eq!(kept("slot", Gt(int(4))), [false, false, true]);
        assert_eq!(kept("slot", GtEq(int(4))), [false, true, true]);
        assert_eq!(kept("slot", In(vec![int(3), int(9)])), [true, false, true]);
        assert_eq!(kept("slot", In(vec![])), [false; 3]);
        assert_eq!(kept("slot", IsNull), [false; 3]);
        assert_eq!(kept("block_time", IsNull), [false, false, true]);
        assert_eq!(kept("block_time", IsNotNull), [true, true, false]);
        let day = Scalar::TimestampMicros(DAY);
        assert_eq!(kept("block_time", Eq(day)), [false, true, false]);
        assert_eq!(kept("date", Eq(Scalar::Date(0))), [true, false, false]);
        assert_eq!(kept("no_such_column", IsNull), [true; 3]);
    }
}
