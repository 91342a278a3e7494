//! Making a network and governing it.

use super::{
    create::{create, token_account},
    transfer::check_extensions,
};
use crate::{
    error::StrmError,
    event::{AuthorityChanged, AuthorityProposed, Initialized, PauseChanged, TermsChanged},
    state::{MAX_COOLDOWN_S, Network, Terms, WHOLE},
};
use anchor_lang::prelude::*;
use anchor_spl::token_interface::{Mint, TokenInterface};

/// Accounts of `initialize`.
#[derive(Accounts)]
pub struct Initialize<'info> {
    /// Who makes the network, pays for its accounts, and is its first authority.
    #[account(mut)]
    pub creator: Signer<'info>,
    /// The mint of STRM.
    pub mint: Box<InterfaceAccount<'info, Mint>>,
    /// The network.
    /// CHECK: at its derived address, and created here.
    #[account(
        mut,
        seeds = [b"network", mint.key().as_ref(), creator.key().as_ref()],
        bump
    )]
    pub network: UncheckedAccount<'info>,
    /// Where stakes lie.
    /// CHECK: at its derived address, and created here.
    #[account(mut, seeds = [b"stakes", network.key().as_ref()], bump)]
    pub stake_vault: UncheckedAccount<'info>,
    /// Where rewards lie that were settled and not claimed.
    /// CHECK: at its derived address, and created here.
    #[account(mut, seeds = [b"rewards", network.key().as_ref()], bump)]
    pub reward_vault: UncheckedAccount<'info>,
    /// The token program of the mint.
    pub token_program: Interface<'info, TokenInterface>,
    /// The system program.
    pub system_program: Program<'info, System>,
}

/// Makes a network.
pub(crate) fn initialize(context: Context<Initialize>, terms: Terms) -> Result<()> {
    check(&terms)?;
    check_extensions(&context.accounts.mint)?;
    let (accounts, bumps) = (context.accounts, context.bumps);
    let (creator, mint) = (accounts.creator.key(), accounts.mint.key());
    let first = Network {
        creator,
        authority: creator,
        proposed_authority: None,
        mint,
        terms: terms.clone(),
        paused: false,
        last_batch: 0,
        last_receipt: 0,
        last_settled_at: 0,
        staked: 0,
        owed: 0,
        bump: bumps.network,
    };
    let network = accounts.network.key();
    create(
        &accounts.network,
        &accounts.creator,
        Network::INIT_SPACE,
        &[
            b"network",
            mint.as_ref(),
            creator.as_ref(),
            &[bumps.network],
        ],
        &first,
    )?;
    for (vault, name, bump) in [
        (&accounts.stake_vault, &b"stakes"[..], bumps.stake_vault),
        (&accounts.reward_vault, &b"rewards"[..], bumps.reward_vault),
    ] {
        token_account(
            vault,
            &accounts.creator,
            &accounts.mint,
            &accounts.network,
            &accounts.token_program,
            &[name, network.as_ref(), &[bump]],
        )?;
    }
    emit!(Initialized {
        network,
        mint,
        authority: creator,
        terms,
    });
    Ok(())
}

fn check(terms: &Terms) -> Result<()> {
    let sum: u32 = terms.shares.iter().map(|share| u32::from(*share)).sum();
    require!(sum == u32::from(WHOLE), StrmError::Shares);
    let sensible = (0..=MAX_COOLDOWN_S).contains(&terms.cooldown_s)
        && terms.batch_interval_s > 0
        && terms.max_slash <= WHOLE;
    require!(sensible, StrmError::Terms);
    Ok(())
}

/// Accounts of `update_config`, `propose_authority` and `pause`.
#[derive(Accounts)]
pub struct Govern<'info> {
    /// The authority of the network.
    pub authority: Signer<'info>,
    /// The network.
    #[account(mut, has_one = authority)]
    pub network: Box<Account<'info, Network>>,
}

/// Changes the terms. Cooldowns that have begun stay as they are.
pub(crate) fn update_config(context: Context<Govern>, terms: Terms) -> Result<()> {
    check(&terms)?;
    let network = &mut context.accounts.network;
    network.terms = terms.clone();
    emit!(TermsChanged {
        network: network.key(),
        terms,
    });
    Ok(())
}

/// Begins a handover of authority, or calls it off.
pub(crate) fn propose_authority(context: Context<Govern>, proposed: Option<Pubkey>) -> Result<()> {
    let network = &mut context.accounts.network;
    network.proposed_authority = proposed;
    emit!(AuthorityProposed {
        network: network.key(),
        proposed,
    });
    Ok(())
}

/// Stops all movements of money but `withdraw`, or lets them go on.
pub(crate) fn pause(context: Context<Govern>, paused: bool) -> Result<()> {
    let network = &mut context.accounts.network;
    network.paused = paused;
    emit!(PauseChanged {
        network: network.key(),
        paused,
    });
    Ok(())
}

/// Accounts of `accept_authority`.
#[derive(Accounts)]
pub struct AcceptAuthority<'info> {
    /// The authority to be.
    pub proposed: Signer<'info>,
    /// The network.
    #[account(mut)]
    pub network: Box<Account<'info, Network>>,
}

/// Ends a handover of authority.
pub(crate) fn accept_authority(context: Context<AcceptAuthority>) -> Result<()> {
    let proposed = context.accounts.proposed.key();
    let network = &mut context.accounts.network;
    require!(
        network.proposed_authority == Some(proposed),
        StrmError::NoHandover
    );
    let before = std::mem::replace(&mut network.authority, proposed);
    network.proposed_authority = None;
    emit!(AuthorityChanged {
        network: network.key(),
        before,
        authority: proposed,
    });
    Ok(())
}
