//! Choosing the files that can hold the rows that a query wants.

use crate::{
    ColumnRange, DataFile, Scalar,
    tables::{PartitionBy, TableDefinition, bucket},
};
use std::cmp::Ordering;

/// Microseconds in a day.
const DAY: i64 = 86_400_000_000;

/// A condition on one column that every wanted row meets.
#[derive(Clone, Debug, PartialEq)]
pub struct Constraint {
    /// The column.
    pub column: String,
    /// What its value must be.
    pub op: ConstraintOp,
}

/// What the value of a column must be. Except for `IsNull`, a NULL meets no condition.
#[derive(Clone, Debug, PartialEq)]
pub enum ConstraintOp {
    /// Equal to the value.
    Eq(Scalar),
    /// Below the value.
    Lt(Scalar),
    /// Below the value or equal to it.
    LtEq(Scalar),
    /// Above the value.
    Gt(Scalar),
    /// Above the value or equal to it.
    GtEq(Scalar),
    /// Equal to one of the values.
    In(Vec<Scalar>),
    /// NULL.
    IsNull,
    /// Not NULL.
    IsNotNull,
}

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
