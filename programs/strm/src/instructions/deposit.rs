//! Deposits of clients. SOL comes as wrapped SOL.

use super::{
    create::{open_or_create, store, token_account},
    stake::{difference, sum},
    transfer::{check_extensions, pay, take},
};
use crate::{
    error::StrmError,
    event::{Collected, DepositMintChanged, Deposited, Refunded},
    state::{DepositMint, Deposits, Network},
};
use anchor_lang::prelude::*;
use anchor_spl::token_interface::{Mint, TokenAccount, TokenInterface};

/// Accounts of `allow_mint`.
#[derive(Accounts)]
pub struct AllowMint<'info> {
    /// The authority of the network; pays for the accounts.
    #[account(mut)]
    pub authority: Signer<'info>,
    /// The network.
    #[account(has_one = authority)]
    pub network: Box<Account<'info, Network>>,
    /// The mint.
    pub mint: Box<InterfaceAccount<'info, Mint>>,
    /// What is known of it.
    /// CHECK: at its derived address, and created here.
    #[account(
        mut,
        seeds = [b"mint", network.key().as_ref(), mint.key().as_ref()],
        bump
    )]
    pub deposit_mint: UncheckedAccount<'info>,
    /// Where deposits of it lie.
    /// CHECK: at its derived address, and created here.
    #[account(
        mut,
        seeds = [b"vault", network.key().as_ref(), mint.key().as_ref()],
        bump
    )]
    pub vault: UncheckedAccount<'info>,
    /// The token program of the mint.
    pub token_program: Interface<'info, TokenInterface>,
    /// The system program.
    pub system_program: Program<'info, System>,
}

/// Allows deposits of a mint, or changes what they are worth from now on, or ends them.
pub(crate) fn allow_mint(
    context: Context<AllowMint>,
    numerator: u64,
    denominator: u64,
    enabled: bool,
) -> Result<()> {
    let (accounts, bumps) = (context.accounts, context.bumps);
    check_extensions(&accounts.mint)?;
    let (network, mint) = (accounts.network.key(), accounts.mint.key());
    let own = mint == accounts.network.mint;
    require!(
        numerator > 0 && denominator > 0 && (!own || numerator == denominator),
        StrmError::Rate
    );
    let now = DepositMint {
        network,
        mint,
        numerator,
        denominator,
        enabled,
        bump: bumps.deposit_mint,
    };
    open_or_create(
        &accounts.deposit_mint,
        &accounts.authority,
        DepositMint::INIT_SPACE,
        &[b"mint", network.as_ref(), mint.as_ref(), &[now.bump]],
        now.clone(),
    )?;
    store(&accounts.deposit_mint, &now)?;
    token_account(
        &accounts.vault,
        &accounts.authority,
        &accounts.mint,
        &accounts.network.to_account_info(),
        &accounts.token_program,
        &[b"vault", network.as_ref(), mint.as_ref(), &[bumps.vault]],
    )?;
    emit!(DepositMintChanged {
        network,
        mint,
        numerator,
        denominator,
        enabled,
    });
    Ok(())
}

/// Accounts of `deposit`.
#[derive(Accounts)]
#[instruction(amount: u64, reference: [u8; 32])]
pub struct Deposit<'info> {
    /// Who deposits, and pays for the record.
    #[account(mut)]
    pub owner: Signer<'info>,
    /// The network.
    pub network: Box<Account<'info, Network>>,
    /// The mint.
    pub mint: Box<InterfaceAccount<'info, Mint>>,
    /// What is known of it.
    #[account(
        has_one = network,
        has_one = mint,
        seeds = [b"mint", network.key().as_ref(), mint.key().as_ref()],
        bump = deposit_mint.bump
    )]
    pub deposit_mint: Box<Account<'info, DepositMint>>,
    /// Where deposits of it lie.
    #[account(mut, seeds = [b"vault", network.key().as_ref(), mint.key().as_ref()], bump)]
    pub vault: Box<InterfaceAccount<'info, TokenAccount>>,
    /// The tokens of who deposits.
    #[account(mut, token::mint = mint, token::authority = owner)]
    pub owner_tokens: Box<InterfaceAccount<'info, TokenAccount>>,
    /// The record.
    /// CHECK: at its derived address, and created here.
    #[account(
        mut,
        seeds = [b"deposits", network.key().as_ref(), mint.key().as_ref(), reference.as_ref()],
        bump
    )]
    pub deposits: UncheckedAccount<'info>,
    /// The token program of the mint.
    pub token_program: Interface<'info, TokenInterface>,
    /// The system program.
    pub system_program: Program<'info, System>,
}

/// Deposits tokens for a client.
pub(crate) fn deposit(context: Context<Deposit>, amount: u64, reference: [u8; 32]) -> Result<()> {
    let accounts = context.accounts;
    require!(!accounts.network.paused, StrmError::Paused);
    require!(accounts.deposit_mint.enabled, StrmError::MintNotAllowed);
    let credit = accounts
        .deposit_mint
        .credit(amount)
        .ok_or(StrmError::Overflow)?;
    // What would give no credit at all is not taken.
    require!(credit > 0, StrmError::ZeroAmount);
    take(
        &accounts.owner,
        &accounts.owner_tokens,
        &accounts.vault,
        &accounts.mint,
        &accounts.token_program,
        amount,
    )?;
    let (network, mint) = (accounts.network.key(), accounts.mint.key());
    let bump = context.bumps.deposits;
    let mut deposits = open_or_create(
        &accounts.deposits,
        &accounts.owner,
        Deposits::INIT_SPACE,
        &[
            b"deposits",
            network.as_ref(),
            mint.as_ref(),
            &reference,
            &[bump],
        ],
        Deposits {
            network,
            mint,
            reference,
            count: 0,
            deposited: 0,
            credited: 0,
            refunded: 0,
            bump,
        },
    )?;
    deposits.count = sum(deposits.count, 1)?;
    deposits.deposited = sum(deposits.deposited, amount)?;
    deposits.credited = sum(deposits.credited, credit)?;
    store(&accounts.deposits, &deposits)?;
    emit!(Deposited {
        network,
        mint,
        reference,
        number: deposits.count,
        amount,
        credit,
    });
    Ok(())
}

/// Accounts of `refund`.
#[derive(Accounts)]
pub struct Refund<'info> {
    /// The authority of the network.
    pub authority: Signer<'info>,
    /// The network.
    #[account(has_one = authority)]
    pub network: Box<Account<'info, Network>>,
    /// The mint.
    pub mint: Box<InterfaceAccount<'info, Mint>>,
    /// Where deposits of it lie.
    #[account(mut, seeds = [b"vault", network.key().as_ref(), mint.key().as_ref()], bump)]
    pub vault: Box<InterfaceAccount<'info, TokenAccount>>,
    /// The record.
    #[account(
        mut,
        has_one = network,
        has_one = mint,
        seeds = [
            b"deposits",
            network.key().as_ref(),
            mint.key().as_ref(),
            deposits.reference.as_ref()
        ],
        bump = deposits.bump
    )]
    pub deposits: Box<Account<'info, Deposits>>,
    /// The tokens of who gets them back.
    #[account(mut, token::mint = mint)]
    pub to: Box<InterfaceAccount<'info, TokenAccount>>,
    /// The token program of the mint.
    pub token_program: Interface<'info, TokenInterface>,
}

/// Gives tokens back, if so many were given back before: the same refund sent twice counts once.
pub(crate) fn refund(context: Context<Refund>, amount: u64, refunded_before: u64) -> Result<()> {
    require!(amount > 0, StrmError::ZeroAmount);
    let accounts = context.accounts;
    require!(!accounts.network.paused, StrmError::Paused);
    let deposits = &mut accounts.deposits;
    require!(
        deposits.refunded == refunded_before,
        StrmError::RefundedMeanwhile
    );
    deposits.refunded = sum(deposits.refunded, amount)?;
    require!(
        deposits.refunded <= deposits.deposited,
        StrmError::Insufficient
    );
    pay(
        &accounts.network,
        &accounts.vault,
        accounts.to.to_account_info(),
        &accounts.mint,
        &accounts.token_program,
        amount,
    )?;
    emit!(Refunded {
        network: accounts.network.key(),
        mint: accounts.mint.key(),
        reference: accounts.deposits.reference,
        amount,
    });
    Ok(())
}

/// Accounts of `collect`.
#[derive(Accounts)]
pub struct Collect<'info> {
    /// The authority of the network.
    pub authority: Signer<'info>,
    /// The network.
    #[account(has_one = authority)]
    pub network: Box<Account<'info, Network>>,
    /// The mint.
    pub mint: Box<InterfaceAccount<'info, Mint>>,
    /// Where deposits of it lie.
    #[account(mut, seeds = [b"vault", network.key().as_ref(), mint.key().as_ref()], bump)]
    pub vault: Box<InterfaceAccount<'info, TokenAccount>>,
    /// The tokens of the treasury.
    #[account(mut, token::mint = mint, token::authority = network.terms.treasury)]
    pub treasury_tokens: Box<InterfaceAccount<'info, TokenAccount>>,
    /// The token program of the mint.
    pub token_program: Interface<'info, TokenInterface>,
}

/// Moves deposits of a mint other than STRM to the treasury, which buys STRM for the vault with
/// them.
pub(crate) fn collect(context: Context<Collect>, amount: u64) -> Result<()> {
    require!(amount > 0, StrmError::ZeroAmount);
    let accounts = context.accounts;
    require!(!accounts.network.paused, StrmError::Paused);
    let mint = accounts.mint.key();
    require!(mint != accounts.network.mint, StrmError::NotCollectable);
    difference(accounts.vault.amount, amount)?;
    pay(
        &accounts.network,
        &accounts.vault,
        accounts.treasury_tokens.to_account_info(),
        &accounts.mint,
        &accounts.token_program,
        amount,
    )?;
    emit!(Collected {
        network: accounts.network.key(),
        mint,
        amount,
    });
    Ok(())
}
