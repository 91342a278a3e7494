//! The canonical encoding of columns and values.
//!
//! Every encoding is prefix-free within its type, so that no two different rows of the same
//! columns have the same bytes: a NULL is `0`, a value is `1` and its bytes; integers have 16
//! bytes, text and lists begin with their length.

use super::DigestError;
use arrow::{
    array::{
        Array, ArrayRef, AsArray, BinaryArray, BooleanArray, Decimal256Array, Float32Array,
        Float64Array, Int64Array, ListArray, StringArray, StructArray,
    },
    compute::cast,
    datatypes::{DataType, Decimal128Type, Field, Float64Type, IntervalUnit, Schema},
};
use std::sync::Arc;

/// A column, ready to encode its values one by one.
pub(super) struct ColumnEncoding {
    nulls: Option<arrow::buffer::NullBuffer>,
    values: Values,
}

enum Values {
    Null,
    Boolean(BooleanArray),
    /// Integers, dates, times and timestamps.
    Integer(Int64Array),
    Unsigned(arrow::array::UInt64Array),
    Decimal(arrow::array::Decimal128Array),
    WideDecimal(Decimal256Array),
    Float(Float64Array),
    /// Single precision is exact: it is rounded already.
    Single(Float32Array),
    Text(StringArray),
    Binary(BinaryArray),
    Interval(arrow::array::IntervalMonthDayNanoArray),
    List(ListArray, Box<ColumnEncoding>),
    Struct(Vec<ColumnEncoding>),
}

impl ColumnEncoding {
    pub(super) fn new(name: &str, column: &ArrayRef) -> Result<Self, DigestError> {
        let to = |data_type: &DataType| {
            cast(column, data_type).map_err(|source| DigestError::Malformed {
                column: name.to_owned(),
                source,
            })
        };
        let values = match column.data_type() {
            DataType::Null => Values::Null,
            DataType::Boolean => Values::Boolean(column.as_boolean().clone()),
            DataType::Int8
            | DataType::Int16
            | DataType::Int32
            | DataType::Int64
            | DataType::UInt8
            | DataType::UInt16
            | DataType::UInt32
            | DataType::Timestamp(..) => {
                Values::Integer(to(&DataType::Int64)?.as_primitive().clone())
            }
            DataType::Date32 | DataType::Time32(_) => {
                let days = to(&DataType::Int32)?;
                let wide =
                    cast(&days, &DataType::Int64).map_err(|source| DigestError::Malformed {
                        column: name.to_owned(),
                        source,
                    })?;
                Values::Integer(wide.as_primitive().clone())
            }
            DataType::Date64 | DataType::Time64(_) | DataType::Duration(_) => {
                Values::Integer(to(&DataType::Int64)?.as_primitive().clone())
            }
            DataType::UInt64 => Values::Unsigned(column.as_primitive().clone()),
            DataType::Decimal32(precision, scale) | DataType::Decimal64(precision, scale) => {
                let wide = to(&DataType::Decimal128(*precision, *scale))?;
                Values::Decimal(wide.as_primitive::<Decimal128Type>().clone())
            }
            DataType::Decimal128(..) => Values::Decimal(column.as_primitive().clone()),
            DataType::Decimal256(..) => Values::WideDecimal(column.as_primitive().clone()),
            DataType::Float16 | DataType::Float64 => Values::Float(
                to(&DataType::Float64)?
                    .as_primitive::<Float64Type>()
                    .clone(),
            ),
            DataType::Float32 => Values::Single(column.as_primitive().clone()),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                Values::Text(to(&DataType::Utf8)?.as_string().clone())
            }
            DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_) => {
                Values::Binary(to(&DataType::Binary)?.as_binary().clone())
            }
            DataType::Interval(IntervalUnit::MonthDayNano) => {
                Values::Interval(column.as_primitive().clone())
            }
            DataType::Dictionary(_, values) => return Self::new(name, &to(values)?),
            DataType::List(element)
            | DataType::LargeList(element)
            | DataType::FixedSizeList(element, _) => {
                let list = to(&DataType::List(Arc::clone(element)))?
                    .as_list::<i32>()
                    .clone();
                let elements = Box::new(Self::new(name, list.values())?);
                Values::List(list, elements)
            }
            DataType::Map(entries, _) => {
                let map = column.as_map();
                let list = ListArray::new(
                    Arc::clone(entries),
                    map.offsets().clone(),
                    Arc::new(map.entries().clone()),
                    map.nulls().cloned(),
                );
                let elements = Box::new(Self::new(name, list.values())?);
                Values::List(list, elements)
            }
            DataType::Struct(_) => {
                let fields: &StructArray = column.as_struct();
                let fields = fields.columns().iter().map(|field| Self::new(name, field));
                Values::Struct(fields.collect::<Result<_, _>>()?)
            }
            other => return Err(unsupported(name, other)),
        };
        Ok(Self {
            nulls: column.logical_nulls(),
            values,
        })
    }

    pub(super) fn encode(&self, row: usize, into: &mut Vec<u8>) {
        if self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            into.push(0);
            return;
        }
        into.push(1);
        match &self.values {
            Values::Null => {}
            Values::Boolean(values) => into.push(u8::from(values.value(row))),
            Values::Integer(values) => integer(values.value(row).into(), into),
            Values::Unsigned(values) => integer(values.value(row).into(), into),
            Values::Decimal(values) => integer(values.value(row), into),
            Values::WideDecimal(values) => into.extend(values.value(row).to_le_bytes()),
            Values::Float(values) => into.extend(canonical(values.value(row)).to_le_bytes()),
            Values::Single(values) => {
                let value = values.value(row);
                let value = if value.is_nan() {
                    f32::NAN
                } else {
                    value + 0.0
                };
                into.extend(value.to_bits().to_le_bytes());
            }
            Values::Text(values) => bytes(values.value(row).as_bytes(), into),
            Values::Binary(values) => bytes(values.value(row), into),
            Values::Interval(values) => {
                let value = values.value(row);
                integer(value.months.into(), into);
                integer(value.days.into(), into);
                integer(value.nanoseconds.into(), into);
            }
            Values::List(list, elements) => {
                let offsets = list.value_offsets();
                let (start, end) = (offsets[row] as usize, offsets[row + 1] as usize);
                length(end - start, into);
                (start..end).for_each(|element| elements.encode(element, into));
            }
            Values::Struct(fields) => fields.iter().for_each(|field| field.encode(row, into)),
        }
    }
}

/// Columns: their number, and the name and canonical type of each.
pub(super) fn encode_schema(schema: &Schema, into: &mut Vec<u8>) -> Result<(), DigestError> {
    length(schema.fields().len(), into);
    schema
        .fields()
        .iter()
        .try_for_each(|field| encode_field(field.name(), field, into))
}

fn encode_field(column: &str, field: &Field, into: &mut Vec<u8>) -> Result<(), DigestError> {
    bytes(field.name().as_bytes(), into);
    encode_type(column, field.data_type(), into)
}

fn encode_type(column: &str, data_type: &DataType, into: &mut Vec<u8>) -> Result<(), DigestError> {
    match data_type {
        DataType::Dictionary(_, values) => return encode_type(column, values, into),
        DataType::LargeUtf8 | DataType::Utf8View => bytes(b"Utf8", into),
        DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            bytes(b"Binary", into);
        }
        DataType::Decimal32(precision, scale)
        | DataType::Decimal64(precision, scale)
        | DataType::Decimal128(precision, scale) => {
            bytes(format!("Decimal({precision}, {scale})").as_bytes(), into);
        }
        DataType::List(element)
        | DataType::LargeList(element)
        | DataType::FixedSizeList(element, _) => {
            bytes(b"List", into);
            // The name of a list's element differs between writers and means nothing.
            return encode_type(column, element.data_type(), into);
        }
        DataType::Map(entries, _) => {
            bytes(b"Map", into);
            return encode_type(column, entries.data_type(), into);
        }
        DataType::Struct(fields) => {
            bytes(b"Struct", into);
            length(fields.len(), into);
            return fields
                .iter()
                .try_for_each(|field| encode_field(column, field, into));
        }
        DataType::Union(..)
        | DataType::RunEndEncoded(..)
        | DataType::ListView(_)
        | DataType::LargeListView(_)
        | DataType::Interval(IntervalUnit::DayTime | IntervalUnit::YearMonth) => {
            return Err(unsupported(column, data_type));
        }
        plain => bytes(plain.to_string().as_bytes(), into),
    }
    Ok(())
}

fn unsupported(column: &str, data_type: &DataType) -> DigestError {
    DigestError::UnsupportedType {
        column: column.to_owned(),
        data_type: data_type.to_string(),
    }
}

/// Bits of a double's fraction that are not compared: 52 stored ones, less 23 that are.
const IGNORED_BITS: u32 = 29;

/// The bits by which a double is compared: rounded to 24 significant ones, half away from zero.
fn canonical(value: f64) -> u64 {
    if value.is_nan() {
        return f64::NAN.to_bits();
    }
    if value == 0.0 || value.is_infinite() {
        return (value + 0.0).to_bits();
    }
    (value.to_bits() + (1 << (IGNORED_BITS - 1))) >> IGNORED_BITS << IGNORED_BITS
}

fn integer(value: i128, into: &mut Vec<u8>) {
    into.extend(value.to_le_bytes());
}

fn length(value: usize, into: &mut Vec<u8>) {
    into.extend((value as u64).to_le_bytes());
}

fn bytes(value: &[u8], into: &mut Vec<u8>) {
    length(value.len(), into);
    into.extend(value);
}
