//! The program that keeps StreamSync's money on Solana: stakes of operators, deposits of clients,
//! and batches of rewards.
//!
//! A batch is a Merkle root over what a range of receipts pays to whom. It is accepted only as the
//! next one, over the next receipts, and sets aside all that it pays; so nothing can be settled
//! twice or left out, and each reward can be claimed once. `docs/ECONOMICS.md` has the rules.

// What Anchor's macros make has no documentation of its own.
#![allow(clippy::result_large_err, clippy::diverging_sub_expression)]

pub mod client;
pub mod error;
pub mod event;
#[cfg(all(test, feature = "idl-build"))]
mod idl;
pub mod instructions;
pub mod merkle;
pub mod state;

use anchor_lang::prelude::*;
pub use instructions::*;
use state::Terms;

declare_id!("Bg7AL8hBaBxKTeUz1tXU55FvpnZmPeVbv2kr1jwrDXJ3");

/// The instructions.
#[program]
pub mod strm {
    use super::*;

    /// Makes a network. Whoever calls it is its authority.
    pub fn initialize(context: Context<Initialize>, terms: Terms) -> Result<()> {
        instructions::initialize(context, terms)
    }

    /// Changes the terms of a network.
    pub fn update_config(context: Context<Govern>, terms: Terms) -> Result<()> {
        instructions::update_config(context, terms)
    }

    /// Begins a handover of authority, or calls it off.
    pub fn propose_authority(context: Context<Govern>, proposed: Option<Pubkey>) -> Result<()> {
        instructions::propose_authority(context, proposed)
    }

    /// Ends a handover of authority.
    pub fn accept_authority(context: Context<AcceptAuthority>) -> Result<()> {
        instructions::accept_authority(context)
    }

    /// Stops all movements of money but `withdraw`, or lets them go on.
    pub fn pause(context: Context<Govern>, paused: bool) -> Result<()> {
        instructions::pause(context, paused)
    }

    /// Registers an operator.
    pub fn register_operator(context: Context<RegisterOperator>) -> Result<()> {
        instructions::register_operator(context)
    }

    /// Adds to a stake.
    pub fn stake(context: Context<MoveStake>, amount: u64) -> Result<()> {
        instructions::stake(context, amount)
    }

    /// Asks for stake back.
    pub fn request_unstake(context: Context<RequestUnstake>, amount: u64) -> Result<()> {
        instructions::request_unstake(context, amount)
    }

    /// Pays out stake whose cooldown is over.
    pub fn withdraw(context: Context<MoveStake>) -> Result<()> {
        instructions::withdraw(context)
    }

    /// Takes stake for something that an operator did.
    pub fn slash(context: Context<Slash>, amount: u64, evidence_hash: [u8; 32]) -> Result<()> {
        instructions::slash(context, amount, evidence_hash)
    }

    /// Allows deposits of a mint, or changes what they are worth, or ends them.
    pub fn allow_mint(
        context: Context<AllowMint>,
        numerator: u64,
        denominator: u64,
        enabled: bool,
    ) -> Result<()> {
        instructions::allow_mint(context, numerator, denominator, enabled)
    }

    /// Deposits tokens for a client.
    pub fn deposit(context: Context<Deposit>, amount: u64, reference: [u8; 32]) -> Result<()> {
        instructions::deposit(context, amount, reference)
    }

    /// Gives tokens back to a client.
    pub fn refund(context: Context<Refund>, amount: u64, refunded_before: u64) -> Result<()> {
        instructions::refund(context, amount, refunded_before)
    }

    /// Moves deposits of a mint other than STRM to the treasury.
    pub fn collect(context: Context<Collect>, amount: u64) -> Result<()> {
        instructions::collect(context, amount)
    }

    /// Settles the next batch.
    pub fn settle_batch(
        context: Context<SettleBatch>,
        number: u64,
        settlement: Settlement,
    ) -> Result<()> {
        instructions::settle_batch(context, number, settlement)
    }

    /// Pays one reward.
    pub fn claim<'info>(
        context: Context<'info, ClaimRewards<'info>>,
        page: u32,
        claim: ProvenReward,
    ) -> Result<()> {
        instructions::claim_many(context, page, vec![claim])
    }

    /// Pays several rewards of a page.
    pub fn claim_many<'info>(
        context: Context<'info, ClaimRewards<'info>>,
        page: u32,
        claims: Vec<ProvenReward>,
    ) -> Result<()> {
        instructions::claim_many(context, page, claims)
    }

    /// Moves what nobody claimed of a batch within a year to the treasury.
    pub fn sweep(context: Context<Sweep>) -> Result<()> {
        instructions::sweep(context)
    }

    /// Gives the rent of a page of a swept batch back.
    pub fn close_page(context: Context<ClosePage>, page: u32) -> Result<()> {
        instructions::close_page(context, page)
    }
}
