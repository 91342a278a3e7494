//! Query parameters with types.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error as _};
use serde_json::{Value as Json, json};

/// One value for one placeholder of a query.
///
/// In JSON a plain `null`, boolean, number or string stands for itself. What JSON cannot say, or
/// cannot say exactly, is written as an object with one field that names the type:
///
/// | JSON | value |
/// |---|---|
/// | `{"integer": "18446744073709551615"}` | an integer of up to 128 bits, exact in any client |
/// | `{"double": "NaN"}` | a double, `"NaN"`, `"Infinity"` and `"-Infinity"` included |
/// | `{"blob": "00ff"}` | bytes, in hexadecimal |
/// | `{"date": 19796}` | days since 1970-01-01 |
/// | `{"timestamp": 1710374400000000}` | microseconds since 1970-01-01T00:00Z |
///
/// ```
/// use streamsync_core::Parameter;
/// let parameters: Vec<Parameter> = serde_json::from_str(r#"[254170887, {"blob": "00ff"}]"#).unwrap();
/// assert_eq!(parameters, [Parameter::Integer(254170887), Parameter::Blob(vec![0, 255])]);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Parameter {
    /// SQL's NULL.
    Null,
    /// A truth value.
    Boolean(bool),
    /// An integer; DuckDB takes the smallest of BIGINT and HUGEINT that holds it.
    Integer(i128),
    /// A floating-point number.
    Double(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
    /// A day, counted from 1970-01-01.
    Date(i32),
    /// A moment, in microseconds from 1970-01-01T00:00Z.
    Timestamp(i64),
}

/// Why JSON is not a parameter.
#[derive(Debug, thiserror::Error)]
pub enum InvalidParameter {
    /// A number so large that JSON does not say whether it is exact.
    #[error(
        "the number {0} is too large to be exact; write {{\"integer\": \"…\"}} or {{\"double\": …}}"
    )]
    Number(String),
    /// An array, or an object that is none of the typed forms.
    #[error(
        "{0} is not a parameter: write null, true, 1, 1.5, \"text\", or an object with one of \
         the fields integer, double, blob, date, timestamp"
    )]
    Shape(Json),
    /// A typed form with a wrong value.
    #[error("{value} is not of type {kind}: {expected}")]
    Value {
        /// The type that was named.
        kind: &'static str,
        /// What was given.
        value: Json,
        /// What is taken.
        expected: &'static str,
    },
}

impl Parameter {
    fn from_json(json: Json) -> Result<Self, InvalidParameter> {
        match json {
            Json::Null => Ok(Self::Null),
            Json::Bool(value) => Ok(Self::Boolean(value)),
            Json::String(text) => Ok(Self::Text(text)),
            Json::Number(number) => number_parameter(&number),
            Json::Object(fields) if fields.len() == 1 => {
                let typed = fields.into_iter().next();
                typed.map_or(Ok(Self::Null), |(kind, value)| {
                    typed_parameter(&kind, value)
                })
            }
            other => Err(InvalidParameter::Shape(other)),
        }
    }
}

fn number_parameter(number: &serde_json::Number) -> Result<Parameter, InvalidParameter> {
    /// From here on not every integer is a double.
    const INEXACT: f64 = 9_007_199_254_740_992.0;
    if let Some(integer) = number.as_i128() {
        return Ok(Parameter::Integer(integer));
    }
    match number.as_f64() {
        Some(double) if double.abs() < INEXACT => Ok(Parameter::Double(double)),
        _ => Err(InvalidParameter::Number(number.to_string())),
    }
}

fn typed_parameter(kind: &str, value: Json) -> Result<Parameter, InvalidParameter> {
    let text = match &value {
        Json::String(text) => text.clone(),
        Json::Number(number) => number.to_string(),
        _ => String::new(),
    };
    let (kind, expected, parsed) = match kind {
        "integer" => (
            "integer",
            "write its digits, as a string where they are many",
            text.parse().ok().map(Parameter::Integer),
        ),
        "double" => (
            "double",
            "write a number, \"NaN\", \"Infinity\" or \"-Infinity\"",
            text.parse().ok().map(Parameter::Double),
        ),
        "blob" => (
            "blob",
            "write its bytes in hexadecimal",
            value
                .is_string()
                .then(|| hex::decode(&text).ok())
                .flatten()
                .map(Parameter::Blob),
        ),
        "date" => (
            "date",
            "write the days since 1970-01-01",
            text.parse().ok().map(Parameter::Date),
        ),
        "timestamp" => (
            "timestamp",
            "write the microseconds since 1970-01-01T00:00Z",
            text.parse().ok().map(Parameter::Timestamp),
        ),
        other => return Err(InvalidParameter::Shape(json!({ other: value }))),
    };
    parsed.ok_or(InvalidParameter::Value {
        kind,
        value,
        expected,
    })
}

impl<'de> Deserialize<'de> for Parameter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_json(Json::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

impl Serialize for Parameter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => Json::Null,
            Self::Boolean(value) => json!(value),
            Self::Integer(value) => json!({ "integer": value.to_string() }),
            Self::Double(value) if value.is_nan() => json!({ "double": "NaN" }),
            Self::Double(value) if *value == f64::INFINITY => json!({ "double": "Infinity" }),
            Self::Double(value) if *value == f64::NEG_INFINITY => json!({ "double": "-Infinity" }),
            Self::Double(value) => json!({ "double": value.to_string() }),
            Self::Text(text) => json!(text),
            Self::Blob(bytes) => json!({ "blob": hex::encode(bytes) }),
            Self::Date(days) => json!({ "date": days }),
            Self::Timestamp(micros) => json!({ "timestamp": micros }),
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(json: &str) -> Result<Parameter, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn plain_json_stands_for_itself() {
        assert_eq!(parse("null"), Ok(Parameter::Null));
        assert_eq!(parse("true"), Ok(Parameter::Boolean(true)));
        assert_eq!(
            parse("18446744073709551615"),
            Ok(Parameter::Integer(u64::MAX.into()))
        );
        assert_eq!(parse("1.5"), Ok(Parameter::Double(1.5)));
        assert_eq!(parse("1e3"), Ok(Parameter::Double(1000.0)));
        assert_eq!(parse("\"1\""), Ok(Parameter::Text("1".to_owned())));
    }

    #[test]
    fn what_is_no_parameter_says_why() {
        for (json, reason) in [
            ("[1]", "is not a parameter"),
            ("{\"u64\": 1}", "is not a parameter"),
            ("{}", "is not a parameter"),
            ("{\"blob\": \"xyz\"}", "is not of type blob"),
            ("{\"integer\": \"one\"}", "is not of type integer"),
            ("{\"integer\": 1.5}", "is not of type integer"),
            ("1e30", "too large to be exact"),
            (
                "999999999999999999999999999999999999999999",
                "too large to be exact",
            ),
        ] {
            let error = parse(json).unwrap_err();
            assert!(error.contains(reason), "{json}: {error}");
        }
    }

    fn parameter() -> impl Strategy<Value = Parameter> {
        prop_oneof![
            Just(Parameter::Null),
            any::<bool>().prop_map(Parameter::Boolean),
            any::<i128>().prop_map(Parameter::Integer),
            any::<f64>()
                .prop_filter("NaN is not equal to itself", |value| !value.is_nan())
                .prop_map(Parameter::Double),
            ".*".prop_map(Parameter::Text),
            any::<Vec<u8>>().prop_map(Parameter::Blob),
            any::<i32>().prop_map(Parameter::Date),
            any::<i64>().prop_map(Parameter::Timestamp),
        ]
    }

    proptest! {
        #[test]
        fn json_keeps_every_parameter(parameter in parameter()) {
            let json = serde_json::to_string(&parameter).unwrap();
            prop_assert_eq!(serde_json::from_str::<Parameter>(&json).unwrap(), parameter);
        }
    }
}
