//! Blocks in the JSON of `getBlock`.

use super::{DecodeError, transaction};
use crate::block::{Block, Reward, RewardType};
use serde::{Deserialize, de::IgnoredAny};
use solana_transaction_status_client_types as ui;
use std::str::FromStr;
use streamsync_core::Slot;

/// What a recording may be, told by its keys.
#[derive(Deserialize)]
struct Shape {
    slot: Option<Slot>,
    block: Option<IgnoredAny>,
    result: Option<IgnoredAny>,
    error: Option<RpcError>,
    blockhash: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct RpcError {
    code: i64,
    message: String,
}

#[derive(Deserialize)]
struct InBlock<T> {
    block: T,
}

#[derive(Deserialize)]
struct InResult<T> {
    result: T,
}

pub(super) fn decode(bytes: &[u8], slot: Option<Slot>) -> Result<Block, DecodeError> {
    let shape: Shape = read(bytes)?;
    let (slot, block) = if let Some(error) = shape.error {
        let RpcError { code, message } = error;
        return Err(DecodeError::RpcError { code, message });
    } else if shape.blockhash.is_some() {
        (one_slot(slot, shape.slot)?, read(bytes)?)
    } else if shape.block.is_some() {
        let slot = one_slot(slot, shape.slot)?;
        (slot, read::<InBlock<ui::UiConfirmedBlock>>(bytes)?.block)
    } else if shape.result.is_some() {
        decode_result(bytes, slot)?
    } else {
        return Err(DecodeError::NoBlock);
    };
    convert(slot, block)
}

/// The block in a JSON-RPC envelope, bare or with its slot.
fn decode_result(
    bytes: &[u8],
    slot: Option<Slot>,
) -> Result<(Slot, ui::UiConfirmedBlock), DecodeError> {
    let shape = read::<InResult<Shape>>(bytes)?.result;
    let slot = one_slot(slot, shape.slot)?;
    let block = if shape.block.is_some() {
        read::<InResult<InBlock<ui::UiConfirmedBlock>>>(bytes)?
            .result
            .block
    } else if shape.blockhash.is_some() {
        read::<InResult<ui::UiConfirmedBlock>>(bytes)?.result
    } else {
        return Err(DecodeError::NoBlock);
    };
    Ok((slot, block))
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, DecodeError> {
    serde_json::from_slice(bytes).map_err(DecodeError::Json)
}

fn one_slot(expected: Option<Slot>, said: Option<Slot>) -> Result<Slot, DecodeError> {
    match (expected, said) {
        (Some(expected), Some(said)) if expected != said => {
            Err(DecodeError::OtherSlot { expected, said })
        }
        (slot, said) => slot.or(said).ok_or(DecodeError::NoSlot),
    }
}

fn convert(slot: Slot, block: ui::UiConfirmedBlock) -> Result<Block, DecodeError> {
    let transactions = block.transactions.ok_or(DecodeError::Details { slot })?;
    let transactions = transactions.into_iter().enumerate();
    Ok(Block {
        slot,
        parent_slot: Slot(block.parent_slot),
        blockhash: field(slot, "blockhash", &block.blockhash)?,
        previous_blockhash: field(slot, "previousBlockhash", &block.previous_blockhash)?,
        block_height: block.block_height,
        block_time: block.block_time,
        transactions: transactions
            .map(|(index, encoded)| {
                transaction::convert(encoded)
                    .map_err(|problem| DecodeError::transaction(slot, index, problem))
            })
            .collect::<Result<_, _>>()?,
        rewards: block
            .rewards
            .unwrap_or_default()
            .into_iter()
            .map(|reward| convert_reward(slot, reward))
            .collect::<Result<_, _>>()?,
    })
}

fn convert_reward(slot: Slot, reward: ui::Reward) -> Result<Reward, DecodeError> {
    // The crate of the node's own type is not named here: its text is.
    let reward_type = reward.reward_type.map(|kind| kind.to_string());
    Ok(Reward {
        pubkey: field(slot, "rewards.pubkey", &reward.pubkey)?,
        lamports: reward.lamports,
        post_balance: reward.post_balance,
        reward_type: match reward_type.as_deref() {
            None => None,
            Some("fee") => Some(RewardType::Fee),
            Some("rent") => Some(RewardType::Rent),
            Some("staking") => Some(RewardType::Staking),
            Some("voting") => Some(RewardType::Voting),
            Some(other) => {
                let (field, value) = ("rewards.rewardType", other.to_owned());
                return Err(DecodeError::Field { slot, field, value });
            }
        },
        commission: reward.commission,
    })
}

/// Reads a text of the block itself.
pub(super) fn field<T: FromStr>(
    slot: Slot,
    field: &'static str,
    text: &str,
) -> Result<T, DecodeError> {
    text.parse().map_err(|_| {
        let value = text.to_owned();
        DecodeError::Field { slot, field, value }
    })
}
