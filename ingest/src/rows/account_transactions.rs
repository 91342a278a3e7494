//! Rows of `account_transactions`.

use super::{
    RowsError,
    column::{integer, integers, slot},
};
use crate::Block;
use arrow::array::{ArrayRef, BooleanBuilder, StringBuilder};
use std::{fmt::Write, sync::Arc};
use streamsync_lake::tables::bucket;

pub(super) fn columns(block: &Block) -> Result<Vec<ArrayRef>, RowsError> {
    let mut buckets = Vec::new();
    let mut accounts = StringBuilder::new();
    let mut indexes = Vec::new();
    let mut signers = BooleanBuilder::new();
    let mut writables = BooleanBuilder::new();
    let mut account = String::with_capacity(44);
    for (index, transaction) in block.transactions.iter().enumerate() {
        let index = integer(block, "transaction_index", index)?;
        let keys = &transaction.account_keys;
        for (position, key) in keys.iter().enumerate() {
            let before = keys.iter().take(position);
            if before
                .map(|other| other.pubkey)
                .any(|other| other == key.pubkey)
            {
                continue;
            }
            account.clear();
            // Writing into a text cannot fail.
            let _ = write!(account, "{}", key.pubkey);
            buckets.push(bucket(&account));
            accounts.append_value(&account);
            indexes.push(index);
            signers.append_value(key.is_signer);
            writables.append_value(key.is_writable);
        }
    }
    let rows = indexes.len();
    Ok(vec![
        integers(buckets),
        Arc::new(accounts.finish()),
        slot(block, rows)?,
        integers(indexes),
        Arc::new(signers.finish()),
        Arc::new(writables.finish()),
    ])
}
