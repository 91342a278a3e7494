//! A network: who may do what in it, and how far it was settled.

use anchor_lang::prelude::*;

/// The sum of [`Terms::shares`].
pub const WHOLE: u16 = 10_000;
/// The longest that stake can be kept back: 90 days, in seconds.
pub const MAX_COOLDOWN_S: i64 = 90 * 86_400;

/// What its authority can change.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug, InitSpace, PartialEq)]
pub struct Terms {
    /// Who may settle batches.
    pub settler: Pubkey,
    /// Who may slash stakes.
    pub slasher: Pubkey,
    /// Who gets the treasury's part, slashed stakes, and what nobody claimed.
    pub treasury: Pubkey,
    /// Who gets the part of those who bring data into the lake.
    pub data: Pubkey,
    /// Who gets the part for governance.
    pub governance: Pubkey,
    /// How payments are divided: nodes, treasury, data, governance, in hundredths of a percent.
    /// What settles follows them; see [`WHOLE`].
    pub shares: [u16; 4],
    /// How long stake is kept back after it was asked for, in seconds.
    pub cooldown_s: i64,
    /// The stake that a worker's operator needs before the worker is selected, in base units. Who
    /// selects follows it.
    pub minimum_stake: u64,
    /// How often a batch is settled, in seconds. Who settles follows it.
    pub batch_interval_s: u32,
    /// The most that one event can cost, in hundredths of a percent of the stake.
    pub max_slash: u16,
}

impl Terms {
    /// The terms of a network that starts, with one key for everything.
    pub fn new(authority: Pubkey) -> Self {
        Self {
            settler: authority,
            slasher: authority,
            treasury: authority,
            data: authority,
            governance: authority,
            shares: [5_000, 2_000, 2_000, 1_000],
            cooldown_s: 7 * 86_400,
            minimum_stake: 10_000 * 1_000_000_000,
            batch_interval_s: 300,
            max_slash: 1_000,
        }
    }
}

/// A network. Its address is derived from its mint and from who made it, so that nobody can take
/// the place of another's.
#[account]
#[derive(InitSpace)]
pub struct Network {
    /// Who made it.
    pub creator: Pubkey,
    /// Who may change its terms.
    pub authority: Pubkey,
    /// Who will be the authority as soon as they accept.
    pub proposed_authority: Option<Pubkey>,
    /// The mint of STRM.
    pub mint: Pubkey,
    /// The terms.
    pub terms: Terms,
    /// Whether money stands still, but for what leaves by `withdraw`.
    pub paused: bool,
    /// The last batch; 0 before the first.
    pub last_batch: u64,
    /// The place of the last settled receipt; 0 before the first.
    pub last_receipt: u64,
    /// When that was, in seconds since 1970.
    pub last_settled_at: i64,
    /// All stakes, those that wait for their cooldown included, in base units.
    pub staked: u64,
    /// What was settled and neither claimed nor swept, in base units.
    pub owed: u64,
    /// The bump of the address.
    pub bump: u8,
}
