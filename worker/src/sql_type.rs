//! The lake's columns in DuckDB's words.

use arrow::datatypes::{DataType, Field, TimeUnit};

/// The name of a column.
pub(crate) fn quoted(field: &Field) -> String {
    format!("\"{}\"", field.name().replace('"', "\"\""))
}

/// A NULL under the name of a column.
pub(crate) fn null(field: &Field) -> String {
    format!("CAST(NULL AS {}) AS {}", sql_type(field), quoted(field))
}

/// The type of a column.
pub(crate) fn sql_type(field: &Field) -> String {
    match field.data_type() {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INTEGER".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Float32 => "REAL".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => "TIMESTAMP".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BLOB".to_owned(),
        DataType::List(element) | DataType::LargeList(element) => {
            format!("{}[]", sql_type(element))
        }
        // Text, and whatever a lake written by others may hold: DuckDB says when it does not fit.
        _ => "VARCHAR".to_owned(),
    }
}
