//! Claiming rewards. Anyone may do it for anyone: they go to the recipient's own account.

use super::{
    create::{open_or_create, store},
    stake::{difference, sum},
    transfer::pay,
};
use crate::{
    error::StrmError,
    event::Claimed,
    merkle,
    state::{Batch, ClaimsPage, Network, PAGE_LEAVES},
};
use anchor_lang::prelude::*;
use anchor_spl::{
    associated_token::get_associated_token_address_with_program_id,
    token_interface::{Mint, TokenAccount, TokenInterface},
};

/// Accounts of `claim` and `claim_many`. The token accounts of the recipients come after them, in
/// the order of the claims.
#[derive(Accounts)]
#[instruction(page: u32)]
pub struct ClaimRewards<'info> {
    /// Who pays for the page of claims, if it is new.
    #[account(mut)]
    pub payer: Signer<'info>,
    /// The network.
    #[account(mut, has_one = mint)]
    pub network: Box<Account<'info, Network>>,
    /// The batch.
    #[account(
        mut,
        has_one = network,
        seeds = [b"batch", network.key().as_ref(), batch.number.to_le_bytes().as_ref()],
        bump = batch.bump
    )]
    pub batch: Box<Account<'info, Batch>>,
    /// The page that the leaves are on.
    /// CHECK: at its derived address, and created here.
    #[account(
        mut,
        seeds = [b"claims", batch.key().as_ref(), page.to_le_bytes().as_ref()],
        bump
    )]
    pub claims: UncheckedAccount<'info>,
    /// The mint of STRM.
    pub mint: Box<InterfaceAccount<'info, Mint>>,
    /// Where rewards lie.
    #[account(mut, seeds = [b"rewards", network.key().as_ref()], bump)]
    pub reward_vault: Box<InterfaceAccount<'info, TokenAccount>>,
    /// The token program of the mint.
    pub token_program: Interface<'info, TokenInterface>,
    /// The system program.
    pub system_program: Program<'info, System>,
}

/// A leaf and the way up from it.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug, PartialEq)]
pub struct ProvenReward {
    /// The place of the leaf.
    pub index: u32,
    /// The reward, in base units.
    pub amount: u64,
    /// The siblings on the way up, from below.
    pub proof: Vec<[u8; 32]>,
}

/// Pays rewards of one batch that are on one page, all or none.
pub(crate) fn claim_many<'info>(
    context: Context<'info, ClaimRewards<'info>>,
    page: u32,
    claims: Vec<ProvenReward>,
) -> Result<()> {
    let recipients = context.remaining_accounts;
    require!(
        claims.len() == recipients.len() && !claims.is_empty(),
        StrmError::ClaimAccounts
    );
    let accounts = context.accounts;
    require!(!accounts.network.paused, StrmError::Paused);
    require!(!accounts.batch.swept, StrmError::Swept);
    let batch = accounts.batch.key();
    let mut state = open_or_create(
        &accounts.claims,
        &accounts.payer,
        ClaimsPage::INIT_SPACE,
        &[
            b"claims",
            batch.as_ref(),
            &page.to_le_bytes(),
            &[context.bumps.claims],
        ],
        ClaimsPage {
            payer: accounts.payer.key(),
            claimed: vec![0; PAGE_LEAVES as usize / 8],
        },
    )?;
    for (claim, tokens) in claims.into_iter().zip(recipients) {
        pay_reward(accounts, &mut state, page, claim, tokens)?;
    }
    store(&accounts.claims, &state)
}

fn pay_reward<'info>(
    accounts: &mut ClaimRewards<'info>,
    state: &mut ClaimsPage,
    page: u32,
    claim: ProvenReward,
    tokens: &'info AccountInfo<'info>,
) -> Result<()> {
    let (network, mint) = (accounts.network.key(), accounts.mint.key());
    let batch = &mut accounts.batch;
    require!(claim.index < batch.leaves, StrmError::NoSuchLeaf);
    require!(claim.index / PAGE_LEAVES == page, StrmError::OtherPage);
    let owner = InterfaceAccount::<TokenAccount>::try_from(tokens)?.owner;
    // No account but this one can have been made by somebody else with ends of their own.
    let own =
        get_associated_token_address_with_program_id(&owner, &mint, accounts.token_program.key);
    require_keys_eq!(tokens.key(), own, StrmError::NotAssociated);
    let leaf = merkle::leaf(&network, batch.number, claim.index, &owner, claim.amount);
    let root = merkle::root(leaf, claim.index, batch.leaves, &claim.proof);
    require!(root == Some(batch.root), StrmError::Proof);
    require!(state.claim(claim.index), StrmError::AlreadyClaimed);
    batch.claimed = sum(batch.claimed, claim.amount)?;
    // A tree that pays more than the batch has set aside would take it from other batches.
    require!(batch.claimed <= batch.total, StrmError::Insufficient);
    let number = batch.number;
    accounts.network.owed = difference(accounts.network.owed, claim.amount)?;
    pay(
        &accounts.network,
        &accounts.reward_vault,
        tokens.clone(),
        &accounts.mint,
        &accounts.token_program,
        claim.amount,
    )?;
    emit!(Claimed {
        network,
        batch: number,
        index: claim.index,
        recipient: owner,
        amount: claim.amount,
    });
    Ok(())
}
