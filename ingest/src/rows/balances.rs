//! Rows of `balances`.

use super::{
    RowsError,
    column::{integer, integers, long, longs, place, push},
};
use crate::Block;
use arrow::array::{ArrayRef, StringBuilder};
use std::sync::Arc;

pub(super) fn columns(block: &Block) -> Result<Vec<ArrayRef>, RowsError> {
    let mut indexes = Vec::new();
    let mut accounts = StringBuilder::new();
    let (mut pre, mut post) = (Vec::new(), Vec::new());
    for (index, transaction) in block.transactions.iter().enumerate() {
        let index = integer(block, "transaction_index", index)?;
        let balances = transaction
            .pre_balances
            .iter()
            .zip(&transaction.post_balances);
        for (key, (&before, &after)) in transaction.account_keys.iter().zip(balances) {
            if before == after {
                continue;
            }
            indexes.push(index);
            push(&mut accounts, key.pubkey);
            pre.push(long(block, "pre", before)?);
            post.push(long(block, "post", after)?);
        }
    }
    let [date, slot, time] = place(block, indexes.len())?;
    Ok(vec![
        date,
        slot,
        time,
        integers(indexes),
        Arc::new(accounts.finish()),
        longs(pre),
        longs(post),
    ])
}
