//! Rows of `transactions`.

use super::{
    RowsError,
    column::{integer, integers, long, longs, place, push, push_optional, text_lists},
};
use crate::Block;
use arrow::array::{ArrayRef, BooleanBuilder, Int64Builder, StringBuilder};
use std::sync::Arc;

pub(super) fn columns(block: &Block) -> Result<Vec<ArrayRef>, RowsError> {
    let rows = block.transactions.len();
    let mut indexes = Vec::with_capacity(rows);
    let mut signatures = StringBuilder::with_capacity(rows, rows * 88);
    let mut votes = BooleanBuilder::with_capacity(rows);
    let mut successes = BooleanBuilder::with_capacity(rows);
    let mut errors = StringBuilder::new();
    let mut fees = Vec::with_capacity(rows);
    let mut payers = StringBuilder::with_capacity(rows, rows * 44);
    let mut versions = StringBuilder::with_capacity(rows, rows * 6);
    let mut blockhashes = StringBuilder::with_capacity(rows, rows * 44);
    let mut units = Int64Builder::with_capacity(rows);
    let mut keys = text_lists();
    let mut counts: [Vec<i32>; 5] = Default::default();
    for (index, transaction) in block.transactions.iter().enumerate() {
        indexes.push(integer(block, "transaction_index", index)?);
        push_optional(&mut signatures, transaction.signatures.first());
        votes.append_value(transaction.is_vote());
        successes.append_value(transaction.error.is_none());
        let error = transaction.error.as_ref();
        // Every TransactionError has a JSON form.
        errors.append_option(error.and_then(|error| serde_json::to_string(error).ok()));
        fees.push(long(block, "fee", transaction.fee)?);
        push_optional(
            &mut payers,
            transaction.account_keys.first().map(|key| key.pubkey),
        );
        push(&mut versions, transaction.version);
        push(&mut blockhashes, transaction.recent_blockhash);
        let consumed = transaction.compute_units_consumed;
        let consumed = consumed.map(|units| long(block, "compute_units_consumed", units));
        units.append_option(consumed.transpose()?);
        for key in &transaction.account_keys {
            push(keys.values(), key.pubkey);
        }
        keys.append(true);
        let numbers = [
            transaction.signatures.len(),
            transaction.loaded_writable,
            transaction.loaded_readonly,
            transaction.instructions.len(),
            transaction.inner_instruction_count(),
        ];
        for (column, number) in counts.iter_mut().zip(numbers) {
            column.push(integer(block, "instruction_count", number)?);
        }
    }
    let [date, slot, time] = place(block, rows)?;
    let [signature_count, writable, readonly, instructions, inner] = counts.map(integers);
    Ok(vec![
        date,
        slot,
        time,
        integers(indexes),
        Arc::new(signatures.finish()),
        Arc::new(votes.finish()),
        Arc::new(successes.finish()),
        Arc::new(errors.finish()),
        longs(fees),
        Arc::new(payers.finish()),
        Arc::new(versions.finish()),
        Arc::new(blockhashes.finish()),
        Arc::new(units.finish()),
        signature_count,
        Arc::new(keys.finish()),
        writable,
        readonly,
        instructions,
        inner,
    ])
}
