//! Accounts of SPL Token, laid out as the program wants them (`spl-token`, `state.rs`).

use solana_pubkey::{Pubkey, pubkey};
use surfpool_core::solana_account::Account;

const TOKEN_PROGRAM: Pubkey = pubkey!("TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA");
const ASSOCIATED_TOKEN_PROGRAM: Pubkey = pubkey!("ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL");
/// The decimals of STRM.
const DECIMALS: u8 = 9;
/// Enough lamports for an account to stay.
const RENT: u64 = 10_000_000;

/// A mint whose authority is gone, and the associated accounts of some owners with tokens of it.
pub fn accounts(mint: Pubkey, owners: &[Pubkey], each: u64) -> Vec<(Pubkey, Account)> {
    let supply = each.saturating_mul(owners.len() as u64);
    let holdings = owners.iter().map(|owner| {
        let seeds = [owner.as_ref(), TOKEN_PROGRAM.as_ref(), mint.as_ref()];
        let (address, _) = Pubkey::find_program_address(&seeds, &ASSOCIATED_TOKEN_PROGRAM);
        (address, account(holding(mint, *owner, each)))
    });
    [(mint, account(mint_state(supply)))]
        .into_iter()
        .chain(holdings)
        .collect()
}

fn account(data: Vec<u8>) -> Account {
    Account {
        lamports: RENT,
        data,
        owner: TOKEN_PROGRAM,
        executable: false,
        rent_epoch: u64::MAX,
    }
}

/// No authority to mint, the supply, the decimals, initialized, no authority to freeze.
fn mint_state(supply: u64) -> Vec<u8> {
    let mut state = vec![0; 36];
    state.extend(supply.to_le_bytes());
    state.extend([DECIMALS, 1]);
    state.resize(82, 0);
    state
}

/// The mint, the owner, the amount, no delegate, initialized; not of SOL, and nobody else may close it.
fn holding(mint: Pubkey, owner: Pubkey, amount: u64) -> Vec<u8> {
    let mut state = [mint.as_ref(), owner.as_ref(), &amount.to_le_bytes()].concat();
    state.resize(108, 0);
    state.push(1);
    state.resize(165, 0);
    state
}
