//! Rows of `blocks`.

use super::{
    RowsError,
    column::{integer, integers, long, longs, place, push, push_optional},
};
use crate::{Block, RewardType};
use arrow::array::{ArrayRef, Int64Array, StringBuilder};
use std::sync::Arc;

pub(super) fn columns(block: &Block) -> Result<Vec<ArrayRef>, RowsError> {
    let transactions = &block.transactions;
    let count =
        |column, number| integer(block, column, number).map(|number| integers(vec![number]));
    let optional = |column, value: Option<u64>| {
        let value = value.map(|value| long(block, column, value)).transpose()?;
        Ok::<ArrayRef, RowsError>(Arc::new(Int64Array::from(vec![value])))
    };
    let votes = transactions.iter().filter(|one| one.is_vote()).count();
    let failed = transactions
        .iter()
        .filter(|one| one.error.is_some())
        .count();
    let fees = transactions.iter().map(|one| one.fee);
    let units = transactions
        .iter()
        .filter_map(|one| one.compute_units_consumed);
    let units = units.reduce(u64::saturating_add);
    let mut paid = block.rewards.iter();
    let leader = paid.find(|reward| reward.reward_type == Some(RewardType::Fee));
    let leader = leader.map(|reward| reward.pubkey);
    let [date, slot, time] = place(block, 1)?;
    Ok(vec![
        date,
        slot,
        optional("block_height", block.block_height)?,
        time,
        text(&block.blockhash),
        longs(vec![long(block, "parent_slot", block.parent_slot.0)?]),
        text(&block.previous_blockhash),
        {
            let mut column = StringBuilder::new();
            push_optional(&mut column, leader);
            Arc::new(column.finish())
        },
        count("transaction_count", transactions.len())?,
        count("vote_count", votes)?,
        count("failed_count", failed)?,
        count("reward_count", block.rewards.len())?,
        longs(vec![long(
            block,
            "total_fee",
            fees.fold(0, u64::saturating_add),
        )?]),
        optional("compute_units_consumed", units)?,
    ])
}

fn text(value: &impl std::fmt::Display) -> ArrayRef {
    let mut column = StringBuilder::new();
    push(&mut column, value);
    Arc::new(column.finish())
}
