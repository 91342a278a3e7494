//! Conditions by which rows, and files of rows, can be left out.

use crate::Scalar;
use serde::{Deserialize, Serialize};

/// A condition on one column that every wanted row meets.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Constraint {
    /// The column.
    pub column: String,
    /// What its value must be.
    pub op: ConstraintOp,
}

/// What the value of a column must be. Except for `IsNull`, a NULL meets no condition.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
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

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_keeps_the_kind_of_every_value() {
        let constraint = |op| Constraint {
            column: "c".to_owned(),
            op,
        };
        let values = vec![
            Scalar::Int(u64::MAX.into()),
            Scalar::Text("1".to_owned()),
            Scalar::Bool(true),
            Scalar::Date(19_796),
            Scalar::TimestampMicros(1_710_374_400_000_000),
        ];
        for constraint in [
            constraint(ConstraintOp::In(values)),
            constraint(ConstraintOp::Eq(Scalar::Int(-1))),
            constraint(ConstraintOp::IsNotNull),
        ] {
            let json = serde_json::to_value(&constraint).unwrap();
            let back: Constraint = serde_json::from_value(json).unwrap();
            assert_eq!(back, constraint);
        }
        let json = json!({"column": "slot", "op": {"gt_eq": 5}});
        let read: Constraint = serde_json::from_value(json).unwrap();
        assert_eq!(read.op, ConstraintOp::GtEq(Scalar::Int(5)));
        let null = json!({"column": "slot", "op": {"eq": null}});
        assert!(serde_json::from_value::<Constraint>(null).is_err());
    }
}
