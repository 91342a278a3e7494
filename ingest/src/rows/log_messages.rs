//! Rows of `log_messages`.

use super::{
    RowsError,
    column::{integer, integers, place},
};
use crate::Block;
use arrow::array::{ArrayRef, StringBuilder};
use std::sync::Arc;

pub(super) fn columns(block: &Block) -> Result<Vec<ArrayRef>, RowsError> {
    let mut indexes = Vec::new();
    let mut lines = Vec::new();
    let mut messages = StringBuilder::new();
    for (index, transaction) in block.transactions.iter().enumerate() {
        let index = integer(block, "transaction_index", index)?;
        for (line, message) in transaction.log_messages.iter().enumerate() {
            indexes.push(index);
            lines.push(integer(block, "log_index", line)?);
            messages.append_value(message);
        }
    }
    let [date, slot, time] = place(block, indexes.len())?;
    Ok(vec![
        date,
        slot,
        time,
        integers(indexes),
        integers(lines),
        Arc::new(messages.finish()),
    ])
}
