//! What the node recorded about a transaction.

use super::{
    TransactionProblem,
    transaction::{Loaded, text, texts},
};
use crate::block::TokenBalance;
use solana_pubkey::Pubkey;
use solana_transaction_error::TransactionError;
use solana_transaction_status_client_types as ui;

/// What became of a transaction, but for its inner instructions.
pub(super) struct Meta {
    pub(super) error: Option<TransactionError>,
    pub(super) fee: u64,
    pub(super) pre_balances: Vec<u64>,
    pub(super) post_balances: Vec<u64>,
    pub(super) pre_token_balances: Vec<TokenBalance>,
    pub(super) post_token_balances: Vec<TokenBalance>,
    pub(super) log_messages: Vec<String>,
    pub(super) compute_units_consumed: Option<u64>,
}

/// The accounts that lookup tables gave; none where the node recorded none.
pub(super) fn loaded(meta: &ui::UiTransactionStatusMeta) -> Result<Loaded, TransactionProblem> {
    let Some(loaded) = Option::from(meta.loaded_addresses.as_ref()) else {
        return Ok(Loaded::default());
    };
    let loaded: &ui::UiLoadedAddresses = loaded;
    Ok(Loaded {
        writable: texts("loadedAddresses.writable", &loaded.writable)?,
        readonly: texts("loadedAddresses.readonly", &loaded.readonly)?,
    })
}

pub(super) fn convert(meta: ui::UiTransactionStatusMeta) -> Result<Meta, TransactionProblem> {
    Ok(Meta {
        error: meta.err.map(Into::into),
        fee: meta.fee,
        pre_balances: meta.pre_balances,
        post_balances: meta.post_balances,
        pre_token_balances: token_balances(meta.pre_token_balances.into())?,
        post_token_balances: token_balances(meta.post_token_balances.into())?,
        log_messages: Option::from(meta.log_messages).unwrap_or_default(),
        compute_units_consumed: meta.compute_units_consumed.into(),
    })
}

fn token_balances(
    balances: Option<Vec<ui::UiTransactionTokenBalance>>,
) -> Result<Vec<TokenBalance>, TransactionProblem> {
    let balances = balances.unwrap_or_default();
    balances.into_iter().map(token_balance).collect()
}

fn token_balance(
    balance: ui::UiTransactionTokenBalance,
) -> Result<TokenBalance, TransactionProblem> {
    let owner: Option<String> = balance.owner.into();
    let program_id: Option<String> = balance.program_id.into();
    Ok(TokenBalance {
        account_index: balance.account_index,
        mint: text("tokenBalances.mint", &balance.mint)?,
        owner: optional("tokenBalances.owner", owner.as_deref())?,
        program_id: optional("tokenBalances.programId", program_id.as_deref())?,
        decimals: balance.ui_token_amount.decimals,
        amount: text("tokenBalances.amount", &balance.ui_token_amount.amount)?,
    })
}

/// An address that old recordings leave out, or empty.
pub(super) fn optional(
    field: &'static str,
    address: Option<&str>,
) -> Result<Option<Pubkey>, TransactionProblem> {
    match address {
        None | Some("") => Ok(None),
        Some(address) => text(field, address).map(Some),
    }
}
