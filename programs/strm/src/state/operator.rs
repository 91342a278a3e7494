//! An operator and its stake.

use anchor_lang::prelude::*;

/// An operator.
#[account]
#[derive(InitSpace)]
pub struct Operator {
    /// The network.
    pub network: Pubkey,
    /// Whose stake it is.
    pub owner: Pubkey,
    /// The stake that counts, in base units.
    pub stake: u64,
    /// The stake that waits for the end of the cooldown, in base units.
    pub unstaking: u64,
    /// When the cooldown is over, in seconds since 1970.
    pub unlocks_at: i64,
    /// What was taken so far, in base units.
    pub slashed: u64,
    /// When it registered, in seconds since 1970.
    pub registered_at: i64,
    /// The bump of the address.
    pub bump: u8,
}

/// What was held against an operator. One for each piece of evidence, so that none counts twice.
#[account]
#[derive(InitSpace)]
pub struct Evidence {
    /// The SHA-256 hash of the evidence.
    pub hash: [u8; 32],
    /// The operator.
    pub operator: Pubkey,
    /// What it cost, in base units.
    pub amount: u64,
    /// When, in seconds since 1970.
    pub slashed_at: i64,
}
