//! Deposits of clients.

use anchor_lang::prelude::*;

/// A mint whose tokens are taken as deposits, and what they are worth.
#[account]
#[derive(InitSpace)]
pub struct DepositMint {
    /// The network.
    pub network: Pubkey,
    /// The mint.
    pub mint: Pubkey,
    /// So many base units of STRM...
    pub numerator: u64,
    /// ...for so many base units of it.
    pub denominator: u64,
    /// Whether deposits are taken now.
    pub enabled: bool,
    /// The bump of the address.
    pub bump: u8,
}

/// What was deposited of a mint for a client. Sums only grow, so that whoever follows them credits
/// each deposit once.
#[account]
#[derive(InitSpace)]
pub struct Deposits {
    /// The network.
    pub network: Pubkey,
    /// The mint.
    pub mint: Pubkey,
    /// Whose credit it is: the SHA-256 hash of the client's name.
    pub reference: [u8; 32],
    /// How many deposits there were.
    pub count: u64,
    /// What was deposited, in base units of the mint.
    pub deposited: u64,
    /// What it is worth, each deposit at its time, in base units of STRM.
    pub credited: u64,
    /// What was given back, in base units of the mint.
    pub refunded: u64,
    /// The bump of the address.
    pub bump: u8,
}

impl DepositMint {
    /// What an amount is worth, rounded down; `None` if that cannot be counted.
    pub fn credit(&self, amount: u64) -> Option<u64> {
        let exact = u128::from(amount).checked_mul(u128::from(self.numerator))?;
        u64::try_from(exact.checked_div(u128::from(self.denominator))?).ok()
    }
}
