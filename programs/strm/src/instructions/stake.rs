//! Operators and their stakes.

use super::{
    create::create,
    transfer::{pay, take},
};
use crate::{
    error::StrmError,
    event::{OperatorRegistered, Slashed, StakeChanged},
    state::{Evidence, Network, Operator, WHOLE},
};
use anchor_lang::prelude::*;
use anchor_spl::token_interface::{Mint, TokenAccount, TokenInterface};

/// Accounts of `register_operator`.
#[derive(Accounts)]
pub struct RegisterOperator<'info> {
    /// Who pays for the account.
    #[account(mut)]
    pub payer: Signer<'info>,
    /// The operator's wallet.
    pub owner: Signer<'info>,
    /// The network.
    pub network: Box<Account<'info, Network>>,
    /// The operator.
    /// CHECK: at its derived address, and created here.
    #[account(
        mut,
        seeds = [b"operator", network.key().as_ref(), owner.key().as_ref()],
        bump
    )]
    pub operator: UncheckedAccount<'info>,
    /// The system program.
    pub system_program: Program<'info, System>,
}

/// Registers an operator, without stake.
pub(crate) fn register_operator(context: Context<RegisterOperator>) -> Result<()> {
    let accounts = context.accounts;
    let (network, owner) = (accounts.network.key(), accounts.owner.key());
    let first = Operator {
        network,
        owner,
        stake: 0,
        unstaking: 0,
        unlocks_at: 0,
        slashed: 0,
        registered_at: Clock::get()?.unix_timestamp,
        bump: context.bumps.operator,
    };
    create(
        &accounts.operator,
        &accounts.payer,
        Operator::INIT_SPACE,
        &[b"operator", network.as_ref(), owner.as_ref(), &[first.bump]],
        &first,
    )?;
    emit!(OperatorRegistered { network, owner });
    Ok(())
}

/// Accounts of `stake` and `withdraw`.
#[derive(Accounts)]
pub struct MoveStake<'info> {
    /// The operator's wallet.
    pub owner: Signer<'info>,
    /// The network.
    #[account(mut, has_one = mint)]
    pub network: Box<Account<'info, Network>>,
    /// The operator.
    #[account(
        mut,
        has_one = owner,
        has_one = network,
        seeds = [b"operator", network.key().as_ref(), owner.key().as_ref()],
        bump = operator.bump
    )]
    pub operator: Box<Account<'info, Operator>>,
    /// The mint of STRM.
    pub mint: Box<InterfaceAccount<'info, Mint>>,
    /// Where stakes lie.
    #[account(mut, seeds = [b"stakes", network.key().as_ref()], bump)]
    pub stake_vault: Box<InterfaceAccount<'info, TokenAccount>>,
    /// The tokens of the operator.
    #[account(mut, token::mint = mint, token::authority = owner)]
    pub owner_tokens: Box<InterfaceAccount<'info, TokenAccount>>,
    /// The token program of the mint.
    pub token_program: Interface<'info, TokenInterface>,
}

/// Adds to a stake.
pub(crate) fn stake(context: Context<MoveStake>, amount: u64) -> Result<()> {
    let accounts = context.accounts;
    require!(!accounts.network.paused, StrmError::Paused);
    take(
        &accounts.owner,
        &accounts.owner_tokens,
        &accounts.stake_vault,
        &accounts.mint,
        &accounts.token_program,
        amount,
    )?;
    let (network, operator) = (&mut accounts.network, &mut accounts.operator);
    operator.stake = sum(operator.stake, amount)?;
    network.staked = sum(network.staked, amount)?;
    tell(operator);
    Ok(())
}

/// Pays out stake whose cooldown is over. It is not stopped by a pause.
pub(crate) fn withdraw(context: Context<MoveStake>) -> Result<()> {
    let accounts = context.accounts;
    let amount = accounts.operator.unstaking;
    require!(amount > 0, StrmError::ZeroAmount);
    let now = Clock::get()?.unix_timestamp;
    require!(now >= accounts.operator.unlocks_at, StrmError::Cooldown);
    accounts.operator.unstaking = 0;
    accounts.network.staked = difference(accounts.network.staked, amount)?;
    pay(
        &accounts.network,
        &accounts.stake_vault,
        accounts.owner_tokens.to_account_info(),
        &accounts.mint,
        &accounts.token_program,
        amount,
    )?;
    tell(&accounts.operator);
    Ok(())
}

/// Accounts of `request_unstake`.
#[derive(Accounts)]
pub struct RequestUnstake<'info> {
    /// The operator's wallet.
    pub owner: Signer<'info>,
    /// The network.
    pub network: Box<Account<'info, Network>>,
    /// The operator.
    #[account(
        mut,
        has_one = owner,
        has_one = network,
        seeds = [b"operator", network.key().as_ref(), owner.key().as_ref()],
        bump = operator.bump
    )]
    pub operator: Box<Account<'info, Operator>>,
}

/// Asks for stake back. It no longer counts, and can be withdrawn after the cooldown, which begins
/// anew for all that waits.
pub(crate) fn request_unstake(context: Context<RequestUnstake>, amount: u64) -> Result<()> {
    require!(amount > 0, StrmError::ZeroAmount);
    let accounts = context.accounts;
    let operator = &mut accounts.operator;
    operator.stake = difference(operator.stake, amount)?;
    operator.unstaking = sum(operator.unstaking, amount)?;
    let now = Clock::get()?.unix_timestamp;
    operator.unlocks_at = now
        .checked_add(accounts.network.terms.cooldown_s)
        .ok_or(StrmError::Overflow)?;
    tell(operator);
    Ok(())
}

/// Accounts of `slash`.
#[derive(Accounts)]
#[instruction(amount: u64, evidence_hash: [u8; 32])]
pub struct Slash<'info> {
    /// Who may slash; pays for the record.
    #[account(mut)]
    pub slasher: Signer<'info>,
    /// The network.
    #[account(mut, has_one = mint, constraint = network.terms.slasher == slasher.key() @ ErrorCode::ConstraintHasOne)]
    pub network: Box<Account<'info, Network>>,
    /// The operator.
    #[account(
        mut,
        has_one = network,
        seeds = [b"operator", network.key().as_ref(), operator.owner.as_ref()],
        bump = operator.bump
    )]
    pub operator: Box<Account<'info, Operator>>,
    /// The record of the evidence.
    /// CHECK: at its derived address, and created here.
    #[account(
        mut,
        seeds = [b"evidence", operator.key().as_ref(), evidence_hash.as_ref()],
        bump
    )]
    pub evidence: UncheckedAccount<'info>,
    /// The mint of STRM.
    pub mint: Box<InterfaceAccount<'info, Mint>>,
    /// Where stakes lie.
    #[account(mut, seeds = [b"stakes", network.key().as_ref()], bump)]
    pub stake_vault: Box<InterfaceAccount<'info, TokenAccount>>,
    /// The tokens of the treasury.
    #[account(mut, token::mint = mint, token::authority = network.terms.treasury)]
    pub treasury_tokens: Box<InterfaceAccount<'info, TokenAccount>>,
    /// The token program of the mint.
    pub token_program: Interface<'info, TokenInterface>,
    /// The system program.
    pub system_program: Program<'info, System>,
}

/// Takes stake for something that an operator did, once for each piece of evidence; first from what
/// counts, then from what waits for its cooldown.
pub(crate) fn slash(context: Context<Slash>, amount: u64, evidence_hash: [u8; 32]) -> Result<()> {
    require!(amount > 0, StrmError::ZeroAmount);
    let accounts = context.accounts;
    require!(!accounts.network.paused, StrmError::Paused);
    let operator = &mut accounts.operator;
    let all = sum(operator.stake, operator.unstaking)?;
    let most = u128::from(all) * u128::from(accounts.network.terms.max_slash) / u128::from(WHOLE);
    require!(u128::from(amount) <= most, StrmError::SlashTooLarge);
    let from_stake = amount.min(operator.stake);
    operator.stake = difference(operator.stake, from_stake)?;
    operator.unstaking = difference(operator.unstaking, difference(amount, from_stake)?)?;
    operator.slashed = sum(operator.slashed, amount)?;
    accounts.network.staked = difference(accounts.network.staked, amount)?;
    let against = operator.key();
    create(
        &accounts.evidence,
        &accounts.slasher,
        Evidence::INIT_SPACE,
        &[
            b"evidence",
            against.as_ref(),
            &evidence_hash,
            &[context.bumps.evidence],
        ],
        &Evidence {
            hash: evidence_hash,
            operator: against,
            amount,
            slashed_at: Clock::get()?.unix_timestamp,
        },
    )?;
    pay(
        &accounts.network,
        &accounts.stake_vault,
        accounts.treasury_tokens.to_account_info(),
        &accounts.mint,
        &accounts.token_program,
        amount,
    )?;
    emit!(Slashed {
        network: accounts.network.key(),
        owner: accounts.operator.owner,
        amount,
        evidence: evidence_hash,
    });
    tell(&accounts.operator);
    Ok(())
}

fn tell(operator: &Operator) {
    emit!(StakeChanged {
        network: operator.network,
        owner: operator.owner,
        stake: operator.stake,
        unstaking: operator.unstaking,
        unlocks_at: operator.unlocks_at,
    });
}

pub(super) fn sum(one: u64, other: u64) -> Result<u64> {
    Ok(one.checked_add(other).ok_or(StrmError::Overflow)?)
}

pub(super) fn difference(one: u64, other: u64) -> Result<u64> {
    Ok(one.checked_sub(other).ok_or(StrmError::Insufficient)?)
}
