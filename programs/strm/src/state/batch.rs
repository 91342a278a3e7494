//! A settled batch, and which of its leaves were claimed.

use anchor_lang::prelude::*;

/// The leaves of one page of claims.
pub const PAGE_LEAVES: u32 = 8_192;
/// How long rewards can be claimed, in seconds.
pub const CLAIMABLE_S: i64 = 365 * 86_400;

/// A batch.
#[account]
#[derive(InitSpace)]
pub struct Batch {
    /// The network.
    pub network: Pubkey,
    /// Its number, from one.
    pub number: u64,
    /// The root of the tree of its rewards.
    pub root: [u8; 32],
    /// What it pays, in base units.
    pub total: u64,
    /// The number of rewards.
    pub leaves: u32,
    /// The place of its first receipt.
    pub first_receipt: u64,
    /// The place of its last receipt.
    pub last_receipt: u64,
    /// The SHA-256 hash of the file that lists receipts and rewards.
    pub file_hash: [u8; 32],
    /// When it was settled, in seconds since 1970.
    pub settled_at: i64,
    /// What was claimed of it, in base units.
    pub claimed: u64,
    /// Whether the rest went to the treasury.
    pub swept: bool,
    /// The bump of the address.
    pub bump: u8,
}

/// Which of [`PAGE_LEAVES`] leaves of a batch were claimed.
#[account]
#[derive(InitSpace)]
pub struct ClaimsPage {
    /// Who paid for it and gets that back in the end.
    pub payer: Pubkey,
    /// A bit for each leaf.
    #[max_len(1_024)]
    pub claimed: Vec<u8>,
}

impl ClaimsPage {
    /// Notes that a leaf was claimed; false if it was before.
    pub fn claim(&mut self, index: u32) -> bool {
        let place = index % PAGE_LEAVES;
        let (byte, bit) = ((place / 8) as usize, 1 << (place % 8));
        let before = self.claimed[byte] & bit;
        self.claimed[byte] |= bit;
        before == 0
    }
}
