//! Rows of `signatures`.

use super::{
    RowsError,
    column::{integer, integers, slot},
};
use crate::Block;
use arrow::array::{ArrayRef, StringBuilder};
use std::sync::Arc;
use streamsync_lake::tables::bucket;

pub(super) fn columns(block: &Block) -> Result<Vec<ArrayRef>, RowsError> {
    let rows = block.transactions.len();
    let mut buckets = Vec::with_capacity(rows);
    let mut signatures = StringBuilder::with_capacity(rows, rows * 88);
    let mut indexes = Vec::with_capacity(rows);
    for (index, transaction) in block.transactions.iter().enumerate() {
        // The first signature names the transaction; the others only sign it.
        let signature = transaction.signatures.first();
        let signature = signature.map(ToString::to_string).unwrap_or_default();
        buckets.push(bucket(&signature));
        signatures.append_value(&signature);
        indexes.push(integer(block, "transaction_index", index)?);
    }
    Ok(vec![
        integers(buckets),
        Arc::new(signatures.finish()),
        slot(block, rows)?,
        integers(indexes),
    ])
}
