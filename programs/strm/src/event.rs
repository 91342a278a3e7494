//! What the program tells those who follow it.

use crate::state::Terms;
use anchor_lang::prelude::*;

/// A network was made.
#[event]
pub struct Initialized {
    /// The network.
    pub network: Pubkey,
    /// Its mint.
    pub mint: Pubkey,
    /// Its authority.
    pub authority: Pubkey,
    /// Its terms.
    pub terms: Terms,
}

/// Terms were changed.
#[event]
pub struct TermsChanged {
    /// The network.
    pub network: Pubkey,
    /// The new terms.
    pub terms: Terms,
}

/// A handover of authority began, or was called off.
#[event]
pub struct AuthorityProposed {
    /// The network.
    pub network: Pubkey,
    /// Who may accept it.
    pub proposed: Option<Pubkey>,
}

/// A handover of authority was accepted.
#[event]
pub struct AuthorityChanged {
    /// The network.
    pub network: Pubkey,
    /// The authority before.
    pub before: Pubkey,
    /// The authority now.
    pub authority: Pubkey,
}

/// A network was paused, or goes on.
#[event]
pub struct PauseChanged {
    /// The network.
    pub network: Pubkey,
    /// Whether it is paused.
    pub paused: bool,
}

/// An operator registered.
#[event]
pub struct OperatorRegistered {
    /// The network.
    pub network: Pubkey,
    /// The operator's wallet.
    pub owner: Pubkey,
}

/// An operator's stake changed.
#[event]
pub struct StakeChanged {
    /// The network.
    pub network: Pubkey,
    /// The operator's wallet.
    pub owner: Pubkey,
    /// The stake that counts, in base units.
    pub stake: u64,
    /// The stake that waits for the end of the cooldown, in base units.
    pub unstaking: u64,
    /// When the cooldown is over, in seconds since 1970.
    pub unlocks_at: i64,
}

/// An operator's stake was slashed.
#[event]
pub struct Slashed {
    /// The network.
    pub network: Pubkey,
    /// The operator's wallet.
    pub owner: Pubkey,
    /// How much went to the treasury, in base units.
    pub amount: u64,
    /// The SHA-256 hash of the evidence.
    pub evidence: [u8; 32],
}

/// A mint was allowed for deposits, or changed.
#[event]
pub struct DepositMintChanged {
    /// The network.
    pub network: Pubkey,
    /// The mint.
    pub mint: Pubkey,
    /// So many base units of STRM...
    pub numerator: u64,
    /// ...for so many base units of it.
    pub denominator: u64,
    /// Whether deposits are taken.
    pub enabled: bool,
}

/// A client deposited something.
#[event]
pub struct Deposited {
    /// The network.
    pub network: Pubkey,
    /// The mint.
    pub mint: Pubkey,
    /// Whose credit it is.
    pub reference: [u8; 32],
    /// Which deposit of this mint and reference it is, from one.
    pub number: u64,
    /// The amount, in base units of the mint.
    pub amount: u64,
    /// What it is worth, in base units of STRM.
    pub credit: u64,
}

/// Something was given back to a client.
#[event]
pub struct Refunded {
    /// The network.
    pub network: Pubkey,
    /// The mint.
    pub mint: Pubkey,
    /// Whose deposit it was.
    pub reference: [u8; 32],
    /// The amount, in base units of the mint.
    pub amount: u64,
}

/// Deposits of another mint went to the treasury.
#[event]
pub struct Collected {
    /// The network.
    pub network: Pubkey,
    /// The mint.
    pub mint: Pubkey,
    /// The amount, in base units of the mint.
    pub amount: u64,
}

/// A batch was settled.
#[event]
pub struct BatchSettled {
    /// The network.
    pub network: Pubkey,
    /// Its number.
    pub batch: u64,
    /// The root of its rewards.
    pub root: [u8; 32],
    /// What it pays, in base units.
    pub total: u64,
    /// The number of rewards.
    pub leaves: u32,
    /// The place of its first receipt.
    pub first_receipt: u64,
    /// The place of its last receipt.
    pub last_receipt: u64,
    /// The hash of its file.
    pub file_hash: [u8; 32],
}

/// A reward was claimed.
#[event]
pub struct Claimed {
    /// The network.
    pub network: Pubkey,
    /// The batch.
    pub batch: u64,
    /// The leaf.
    pub index: u32,
    /// Who got it.
    pub recipient: Pubkey,
    /// How much, in base units.
    pub amount: u64,
}

/// What nobody claimed of a batch went to the treasury.
#[event]
pub struct Swept {
    /// The network.
    pub network: Pubkey,
    /// The batch.
    pub batch: u64,
    /// How much, in base units.
    pub amount: u64,
}
