//! Blocks in the protobuf of Solana's archives.

use super::{
    DecodeError, TransactionProblem,
    json::field,
    meta::{self, Meta},
    transaction::{Loaded, Message, text},
};
use crate::block::{
    Block, Header, Instruction, Reward, RewardType, TokenBalance, Transaction, Version,
};
use prost::Message as _;
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use streamsync_core::Slot;

/// The messages of `proto/confirmed_block.proto`.
#[allow(missing_docs)]
mod wire {
    include!(concat!(
        env!("OUT_DIR"),
        "/solana.storage.confirmed_block.rs"
    ));
}

pub(super) fn decode(bytes: &[u8], slot: Slot) -> Result<Block, DecodeError> {
    let block = wire::ConfirmedBlock::decode(bytes).map_err(DecodeError::Protobuf)?;
    let transactions = block.transactions.into_iter().enumerate();
    let rewards = block.rewards.into_iter();
    Ok(Block {
        slot,
        parent_slot: Slot(block.parent_slot),
        blockhash: field(slot, "blockhash", &block.blockhash)?,
        previous_blockhash: field(slot, "previous_blockhash", &block.previous_blockhash)?,
        block_height: block.block_height.map(|height| height.block_height),
        block_time: block.block_time.map(|time| time.timestamp),
        transactions: transactions
            .map(|(index, confirmed)| {
                transaction(confirmed)
                    .map_err(|problem| DecodeError::transaction(slot, index, problem))
            })
            .collect::<Result<_, _>>()?,
        rewards: rewards
            .map(|paid| reward(slot, &paid))
            .collect::<Result<_, _>>()?,
    })
}

fn reward(slot: Slot, reward: &wire::Reward) -> Result<Reward, DecodeError> {
    let reward_type = match wire::RewardType::try_from(reward.reward_type) {
        Ok(wire::RewardType::Unspecified) => None,
        Ok(wire::RewardType::Fee) => Some(RewardType::Fee),
        Ok(wire::RewardType::Rent) => Some(RewardType::Rent),
        Ok(wire::RewardType::Staking) => Some(RewardType::Staking),
        Ok(wire::RewardType::Voting) => Some(RewardType::Voting),
        Err(_) => {
            let (field, value) = ("rewards.reward_type", reward.reward_type.to_string());
            return Err(DecodeError::Field { slot, field, value });
        }
    };
    Ok(Reward {
        pubkey: field(slot, "rewards.pubkey", &reward.pubkey)?,
        lamports: reward.lamports,
        post_balance: reward.post_balance,
        reward_type,
        commission: match reward.commission.as_str() {
            "" => None,
            percent => Some(field(slot, "rewards.commission", percent)?),
        },
    })
}

fn transaction(confirmed: wire::ConfirmedTransaction) -> Result<Transaction, TransactionProblem> {
    let missing = |field| TransactionProblem::Field {
        field,
        value: String::new(),
    };
    let transaction = confirmed
        .transaction
        .ok_or_else(|| missing("transaction"))?;
    let message = transaction.message.ok_or_else(|| missing("message"))?;
    let header = message.header.ok_or_else(|| missing("header"))?;
    let meta = confirmed.meta.ok_or(TransactionProblem::NoMeta)?;
    let tables = message.address_table_lookups.iter();
    let writable = tables.clone().map(|table| table.writable_indexes.len());
    let readonly = tables.map(|table| table.readonly_indexes.len());
    let message = Message {
        signatures: all("signatures", &transaction.signatures, signature)?,
        version: match message.versioned {
            true => Version::V0,
            false => Version::Legacy,
        },
        recent_blockhash: Hash::new_from_array(array(
            "recent_blockhash",
            &message.recent_blockhash,
        )?),
        header: Header {
            required_signatures: header.num_required_signatures as usize,
            readonly_signed: header.num_readonly_signed_accounts as usize,
            readonly_unsigned: header.num_readonly_unsigned_accounts as usize,
        },
        static_keys: all("account_keys", &message.account_keys, pubkey)?,
        lookups: (writable.sum(), readonly.sum()),
        instructions: message
            .instructions
            .into_iter()
            .map(|call| instruction(call.program_id_index, call.accounts, call.data, None))
            .collect::<Result<_, _>>()?,
    };
    let loaded = Loaded {
        writable: all(
            "loaded_writable_addresses",
            &meta.loaded_writable_addresses,
            pubkey,
        )?,
        readonly: all(
            "loaded_readonly_addresses",
            &meta.loaded_readonly_addresses,
            pubkey,
        )?,
    };
    let keys = message.account_keys(&loaded)?;
    let inner = meta.inner_instructions.iter();
    let inner = inner.map(inner_group).collect::<Result<_, _>>()?;
    message.assemble(keys, &loaded, inner, convert_meta(meta)?)
}

fn inner_group(
    group: &wire::InnerInstructions,
) -> Result<(u8, Vec<Instruction>), TransactionProblem> {
    let calls = group.instructions.iter();
    let calls = calls.map(|call| {
        let (accounts, data) = (call.accounts.clone(), call.data.clone());
        instruction(call.program_id_index, accounts, data, call.stack_height)
    });
    Ok((
        byte("inner_instructions.index", group.index)?,
        calls.collect::<Result<_, _>>()?,
    ))
}

fn instruction(
    program_id_index: u32,
    accounts: Vec<u8>,
    data: Vec<u8>,
    stack_height: Option<u32>,
) -> Result<Instruction, TransactionProblem> {
    Ok(Instruction {
        program_id_index: byte("program_id_index", program_id_index)?,
        accounts,
        data,
        stack_height,
    })
}

fn convert_meta(meta: wire::TransactionStatusMeta) -> Result<Meta, TransactionProblem> {
    let error = meta.err.map(|error| bincode::deserialize(&error.err));
    Ok(Meta {
        error: error.transpose().map_err(TransactionProblem::Error)?,
        fee: meta.fee,
        pre_balances: meta.pre_balances,
        post_balances: meta.post_balances,
        pre_token_balances: token_balances(&meta.pre_token_balances)?,
        post_token_balances: token_balances(&meta.post_token_balances)?,
        log_messages: meta.log_messages,
        compute_units_consumed: meta.compute_units_consumed,
    })
}

fn token_balances(
    balances: &[wire::TokenBalance],
) -> Result<Vec<TokenBalance>, TransactionProblem> {
    balances.iter().map(token_balance).collect()
}

fn token_balance(balance: &wire::TokenBalance) -> Result<TokenBalance, TransactionProblem> {
    let amount = balance.ui_token_amount.as_ref();
    let amount = amount.ok_or(TransactionProblem::Field {
        field: "ui_token_amount",
        value: String::new(),
    })?;
    Ok(TokenBalance {
        account_index: byte("token_balances.account_index", balance.account_index)?,
        mint: text("token_balances.mint", &balance.mint)?,
        owner: meta::optional("token_balances.owner", Some(&balance.owner))?,
        program_id: meta::optional("token_balances.program_id", Some(&balance.program_id))?,
        decimals: byte("token_balances.decimals", amount.decimals)?,
        amount: text("token_balances.amount", &amount.amount)?,
    })
}

fn all<T>(
    field: &'static str,
    values: &[Vec<u8>],
    one: impl Fn(&'static str, &[u8]) -> Result<T, TransactionProblem>,
) -> Result<Vec<T>, TransactionProblem> {
    values.iter().map(|value| one(field, value)).collect()
}

fn pubkey(field: &'static str, bytes: &[u8]) -> Result<Pubkey, TransactionProblem> {
    array(field, bytes).map(Pubkey::new_from_array)
}

fn signature(field: &'static str, bytes: &[u8]) -> Result<Signature, TransactionProblem> {
    array::<64>(field, bytes).map(Signature::from)
}

fn array<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], TransactionProblem> {
    bytes.try_into().map_err(|_| TransactionProblem::Field {
        field,
        value: format!("{} bytes, not {N}", bytes.len()),
    })
}

fn byte(field: &'static str, number: u32) -> Result<u8, TransactionProblem> {
    u8::try_from(number).map_err(|_| TransactionProblem::Field {
        field,
        value: number.to_string(),
    })
}
