//! Single values of columns.

use crate::Parameter;
use arrow::{
    array::{Array, AsArray},
    compute::kernels::cast_utils::Parser,
    datatypes::{
        DataType, Date32Type, Decimal128Type, Int32Type, Int64Type, TimeUnit,
        TimestampMicrosecondType,
    },
};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

/// One value of a column, as statistics, partition values and constraints hold it. In JSON it is
/// written as the [`Parameter`] of the same kind.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(try_from = "Parameter", into = "Parameter")]
pub enum Scalar {
    /// A whole number of any width, or a decimal of scale 0.
    Int(i128),
    /// Text, compared by its UTF-8 bytes.
    Text(String),
    /// A boolean; `false` is below `true`.
    Bool(bool),
    /// A day, in days since 1970-01-01.
    Date(i32),
    /// An instant, in microseconds since 1970-01-01T00:00:00Z.
    TimestampMicros(i64),
}

/// A parameter that is no value of a column: NULL, a double or bytes.
#[derive(Debug, thiserror::Error)]
#[error("{0:?} is not a value that columns are compared with")]
pub struct NotAScalar(Parameter);

impl TryFrom<Parameter> for Scalar {
    type Error = NotAScalar;

    fn try_from(parameter: Parameter) -> Result<Self, NotAScalar> {
        match parameter {
            Parameter::Integer(value) => Ok(Self::Int(value)),
            Parameter::Text(text) => Ok(Self::Text(text)),
            Parameter::Boolean(value) => Ok(Self::Bool(value)),
            Parameter::Date(days) => Ok(Self::Date(days)),
            Parameter::Timestamp(micros) => Ok(Self::TimestampMicros(micros)),
            other => Err(NotAScalar(other)),
        }
    }
}

impl From<Scalar> for Parameter {
    fn from(scalar: Scalar) -> Self {
        match scalar {
            Scalar::Int(value) => Self::Integer(value),
            Scalar::Text(text) => Self::Text(text),
            Scalar::Bool(value) => Self::Boolean(value),
            Scalar::Date(days) => Self::Date(days),
            Scalar::TimestampMicros(micros) => Self::Timestamp(micros),
        }
    }
}

/// Values of one kind are ordered; of two kinds, they are not comparable.
impl PartialOrd for Scalar {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(a), Self::Int(b)) => Some(a.cmp(b)),
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Date(a), Self::Date(b)) => Some(a.cmp(b)),
            (Self::TimestampMicros(a), Self::TimestampMicros(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }
}

impl Scalar {
    /// Reads the text of a partition value, or of a statistic, of a column of that type. `None`
    /// where the text is not such a value, or a scalar cannot hold one.
    pub fn parse(data_type: &DataType, text: &str) -> Option<Self> {
        match data_type {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Some(Self::Text(text.to_owned()))
            }
            DataType::Boolean => text.parse().ok().map(Self::Bool),
            DataType::Date32 => Date32Type::parse(text).map(Self::Date),
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                TimestampMicrosecondType::parse(text).map(Self::TimestampMicros)
            }
            whole if whole.is_integer() => text.parse().ok().map(Self::Int),
            DataType::Decimal128(_, 0) => text.parse().ok().map(Self::Int),
            _ => None,
        }
    }

    /// One value of an array. `None` where it is NULL, or of a type that a scalar cannot hold.
    pub fn from_array(values: &dyn Array, row: usize) -> Option<Self> {
        if values.is_null(row) {
            return None;
        }
        match values.data_type() {
            DataType::Utf8 => Some(Self::Text(values.as_string::<i32>().value(row).to_owned())),
            DataType::Boolean => Some(Self::Bool(values.as_boolean().value(row))),
            DataType::Int32 => {
                let value = values.as_primitive::<Int32Type>().value(row);
                Some(Self::Int(value.into()))
            }
            DataType::Int64 => {
                let value = values.as_primitive::<Int64Type>().value(row);
                Some(Self::Int(value.into()))
            }
            DataType::Decimal128(_, 0) => {
                let value = values.as_primitive::<Decimal128Type>().value(row);
                Some(Self::Int(value))
            }
            DataType::Date32 => {
                let days = values.as_primitive::<Date32Type>().value(row);
                Some(Self::Date(days))
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                let micros = values.as_primitive::<TimestampMicrosecondType>().value(row);
                Some(Self::TimestampMicros(micros))
            }
            _ => None,
        }
    }

    /// Reads a minimum or maximum from Delta's statistics. They are JSON: numbers and booleans as
    /// they are, all else as text.
    pub fn from_statistic(data_type: &DataType, value: &serde_json::Value) -> Option<Self> {
        match value {
            serde_json::Value::String(text) => Self::parse(data_type, text),
            serde_json::Value::Bool(value) if *data_type == DataType::Boolean => {
                Some(Self::Bool(*value))
            }
            // By its text, because a decimal can be wider than any number of serde's.
            serde_json::Value::Number(number) if !is_text(data_type) => {
                Self::parse(data_type, &number.to_string())
            }
            _ => None,
        }
    }
}

fn is_text(data_type: &DataType) -> bool {
    matches!(
        data_type,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn statistics_are_read_by_the_type_of_their_column() {
        let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
        let widest = "18446744073709551615";
        let read = Scalar::from_statistic;
        assert_eq!(read(&DataType::Int64, &json!(-7)), Some(Scalar::Int(-7)));
        assert_eq!(
            read(
                &DataType::Decimal128(20, 0),
                &serde_json::from_str(widest).unwrap()
            ),
            Some(Scalar::Int(u64::MAX.into()))
        );
        assert_eq!(
            read(&DataType::Date32, &json!("1970-01-03")),
            Some(Scalar::Date(2))
        );
        assert_eq!(
            read(&utc, &json!("1970-01-01T00:00:01.500Z")),
            Some(Scalar::TimestampMicros(1_500_000))
        );
        assert_eq!(
            read(&DataType::Boolean, &json!(true)),
            Some(Scalar::Bool(true))
        );
        assert_eq!(
            read(&DataType::Utf8, &json!("x")),
            Some(Scalar::Text("x".into()))
        );
    }

    #[test]
    fn what_cannot_be_read_is_unknown() {
        let read = Scalar::from_statistic;
        assert_eq!(read(&DataType::Int64, &json!(1.5)), None);
        assert_eq!(read(&DataType::Utf8, &json!(1)), None);
        assert_eq!(read(&DataType::Float64, &json!(1.0)), None);
        assert_eq!(read(&DataType::Decimal128(20, 2), &json!(1)), None);
        assert_eq!(read(&DataType::Date32, &json!("yesterday")), None);
    }

    #[test]
    fn two_kinds_are_not_comparable() {
        assert_eq!(Scalar::Int(1).partial_cmp(&Scalar::Date(1)), None);
        assert!(Scalar::Bool(false) < Scalar::Bool(true));
    }
}
