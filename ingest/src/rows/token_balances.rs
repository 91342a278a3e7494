//! Rows of `token_balances`.

use super::{
    RowsError,
    column::{integer, integers, place, push, push_optional, token_amounts},
};
use crate::{Block, TokenBalance, Transaction};
use arrow::array::{ArrayRef, StringBuilder};
use std::{collections::BTreeMap, sync::Arc};

/// A token account before and after; at least one of the two is there.
type Change<'a> = (Option<&'a TokenBalance>, Option<&'a TokenBalance>);

pub(super) fn columns(block: &Block) -> Result<Vec<ArrayRef>, RowsError> {
    let mut indexes = Vec::new();
    let mut accounts = StringBuilder::new();
    let mut mints = StringBuilder::new();
    let mut owners = StringBuilder::new();
    let mut programs = StringBuilder::new();
    let mut decimals = Vec::new();
    let (mut pre, mut post) = (Vec::new(), Vec::new());
    for (index, transaction) in block.transactions.iter().enumerate() {
        let index = integer(block, "transaction_index", index)?;
        for (before, after) in changes(transaction) {
            let Some(latest) = after.or(before) else {
                continue;
            };
            let account = transaction
                .account_keys
                .get(usize::from(latest.account_index));
            let recorded = [after, before];
            let recorded = recorded.iter().flatten();
            indexes.push(index);
            push_optional(&mut accounts, account.map(|key| key.pubkey));
            push(&mut mints, latest.mint);
            push_optional(&mut owners, recorded.clone().find_map(|token| token.owner));
            push_optional(
                &mut programs,
                recorded.clone().find_map(|token| token.program_id),
            );
            decimals.push(i32::from(latest.decimals));
            pre.push(before.map(|token| token.amount));
            post.push(after.map(|token| token.amount));
        }
    }
    let [date, slot, time] = place(block, indexes.len())?;
    Ok(vec![
        date,
        slot,
        time,
        integers(indexes),
        Arc::new(accounts.finish()),
        Arc::new(mints.finish()),
        Arc::new(owners.finish()),
        Arc::new(programs.finish()),
        integers(decimals),
        token_amounts(pre),
        token_amounts(post),
    ])
}

/// Every token account once; one that was closed and opened for another mint, once for each mint.
fn changes(transaction: &Transaction) -> impl Iterator<Item = Change<'_>> {
    let mut changes: BTreeMap<_, Change<'_>> = BTreeMap::new();
    for token in &transaction.pre_token_balances {
        let change = changes.entry((token.account_index, token.mint));
        change.or_default().0 = Some(token);
    }
    for token in &transaction.post_token_balances {
        let change = changes.entry((token.account_index, token.mint));
        change.or_default().1 = Some(token);
    }
    changes.into_values()
}
