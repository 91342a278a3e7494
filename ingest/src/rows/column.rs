//! Columns, built value by value.

use super::RowsError;
use crate::Block;
use arrow::{
    array::{
        ArrayRef, Date32Array, Decimal128Array, Int32Array, Int64Array, ListBuilder, StringBuilder,
        TimestampMicrosecondArray,
    },
    datatypes::{DataType, Field},
};
use std::{
    fmt::{Display, Write},
    sync::Arc,
};

const SECONDS_A_DAY: i64 = 86_400;
const MICROS_A_SECOND: i64 = 1_000_000;

/// `date`, `slot` and `block_time`, the same in every row of a block.
pub(super) fn place(block: &Block, rows: usize) -> Result<[ArrayRef; 3], RowsError> {
    Ok([date(block, rows)?, slot(block, rows)?, time(block, rows)?])
}

pub(super) fn date(block: &Block, rows: usize) -> Result<ArrayRef, RowsError> {
    let seconds = block.block_time;
    let days = seconds.map(|seconds| i32::try_from(seconds.div_euclid(SECONDS_A_DAY)));
    let days = days
        .transpose()
        .map_err(|_| too_large(block, "block_time", seconds.unwrap_or_default()))?;
    Ok(Arc::new(Date32Array::from(vec![days; rows])))
}

pub(super) fn slot(block: &Block, rows: usize) -> Result<ArrayRef, RowsError> {
    let slot = long(block, "slot", block.slot.0)?;
    Ok(Arc::new(Int64Array::from_value(slot, rows)))
}

pub(super) fn time(block: &Block, rows: usize) -> Result<ArrayRef, RowsError> {
    let micros = match block.block_time {
        Some(seconds) => Some(
            seconds
                .checked_mul(MICROS_A_SECOND)
                .ok_or_else(|| too_large(block, "block_time", seconds))?,
        ),
        None => None,
    };
    let times = TimestampMicrosecondArray::from(vec![micros; rows]);
    Ok(Arc::new(times.with_timezone("UTC")))
}

/// A number as the signed one that the column holds.
pub(super) fn long(block: &Block, column: &'static str, value: u64) -> Result<i64, RowsError> {
    i64::try_from(value).map_err(|_| too_large(block, column, value))
}

/// A count, or a position.
pub(super) fn integer(block: &Block, column: &'static str, value: usize) -> Result<i32, RowsError> {
    i32::try_from(value).map_err(|_| too_large(block, column, value as u64))
}

fn too_large(block: &Block, column: &'static str, value: impl Into<i128>) -> RowsError {
    RowsError::Overflow {
        slot: block.slot,
        column,
        value: value.into(),
    }
}

pub(super) fn longs(values: Vec<i64>) -> ArrayRef {
    Arc::new(Int64Array::from(values))
}

pub(super) fn integers(values: Vec<i32>) -> ArrayRef {
    Arc::new(Int32Array::from(values))
}

pub(super) fn token_amounts(values: Vec<Option<u64>>) -> ArrayRef {
    let values = values.into_iter().map(|value| value.map(i128::from));
    let values = values.collect::<Decimal128Array>();
    Arc::new(values.with_data_type(DataType::Decimal128(20, 0)))
}

/// Appends a text without a copy of it in between.
pub(super) fn push(column: &mut StringBuilder, text: impl Display) {
    // Writing into a builder cannot fail.
    let _ = write!(column, "{text}");
    column.append_value("");
}

/// Appends a text, or NULL.
pub(super) fn push_optional(column: &mut StringBuilder, text: Option<impl Display>) {
    match text {
        Some(text) => push(column, text),
        None => column.append_null(),
    }
}

/// A column of lists of texts.
pub(super) fn text_lists() -> ListBuilder<StringBuilder> {
    let element = Field::new("element", DataType::Utf8, false);
    ListBuilder::new(StringBuilder::new()).with_field(element)
}
