//! Rows of `rewards`.

use super::{
    RowsError,
    column::{integer, integers, long, longs, place, push, push_optional},
};
use crate::{Block, RewardType};
use arrow::array::{ArrayRef, Int32Builder, StringBuilder};
use std::sync::Arc;

pub(super) fn columns(block: &Block) -> Result<Vec<ArrayRef>, RowsError> {
    let rows = block.rewards.len();
    let mut indexes = Vec::with_capacity(rows);
    let mut pubkeys = StringBuilder::with_capacity(rows, rows * 44);
    let (mut lamports, mut balances) = (Vec::with_capacity(rows), Vec::with_capacity(rows));
    let mut types = StringBuilder::new();
    let mut commissions = Int32Builder::with_capacity(rows);
    for (index, reward) in block.rewards.iter().enumerate() {
        indexes.push(integer(block, "reward_index", index)?);
        push(&mut pubkeys, reward.pubkey);
        lamports.push(reward.lamports);
        balances.push(long(block, "post_balance", reward.post_balance)?);
        push_optional(&mut types, reward.reward_type.map(RewardType::as_str));
        commissions.append_option(reward.commission.map(i32::from));
    }
    let [date, slot, time] = place(block, rows)?;
    Ok(vec![
        date,
        slot,
        time,
        integers(indexes),
        Arc::new(pubkeys.finish()),
        longs(lamports),
        longs(balances),
        Arc::new(types.finish()),
        Arc::new(commissions.finish()),
    ])
}
