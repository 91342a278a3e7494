//! Settling batches, and ending them.

use super::{
    create::create,
    stake::{difference, sum},
    transfer::pay,
};
use crate::{
    error::StrmError,
    event::{BatchSettled, Swept},
    state::{Batch, CLAIMABLE_S, ClaimsPage, Network},
};
use anchor_lang::prelude::*;
use anchor_spl::token_interface::{Mint, TokenAccount, TokenInterface};

/// Accounts of `settle_batch`.
#[derive(Accounts)]
#[instruction(number: u64)]
pub struct SettleBatch<'info> {
    /// Who may settle; pays for the record.
    #[account(mut)]
    pub settler: Signer<'info>,
    /// The network.
    #[account(mut, has_one = mint, constraint = network.terms.settler == settler.key() @ ErrorCode::ConstraintHasOne)]
    pub network: Box<Account<'info, Network>>,
    /// The batch.
    /// CHECK: at its derived address, and created here.
    #[account(
        mut,
        seeds = [b"batch", network.key().as_ref(), number.to_le_bytes().as_ref()],
        bump
    )]
    pub batch: UncheckedAccount<'info>,
    /// The mint of STRM.
    pub mint: Box<InterfaceAccount<'info, Mint>>,
    /// Where deposits of STRM lie.
    #[account(mut, seeds = [b"vault", network.key().as_ref(), mint.key().as_ref()], bump)]
    pub vault: Box<InterfaceAccount<'info, TokenAccount>>,
    /// Where rewards lie.
    #[account(mut, seeds = [b"rewards", network.key().as_ref()], bump)]
    pub reward_vault: Box<InterfaceAccount<'info, TokenAccount>>,
    /// The token program of the mint.
    pub token_program: Interface<'info, TokenInterface>,
    /// The system program.
    pub system_program: Program<'info, System>,
}

/// What a batch says.
#[derive(AnchorSerialize, AnchorDeserialize, Clone, Debug, PartialEq)]
pub struct Settlement {
    /// The root of its rewards; zeros if there are none.
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
}

/// Settles the batch after the last, over the receipts after the last: everything that it pays is
/// set aside at once.
pub(crate) fn settle_batch(
    context: Context<SettleBatch>,
    number: u64,
    settlement: Settlement,
) -> Result<()> {
    let accounts = context.accounts;
    let network = &mut accounts.network;
    require!(!network.paused, StrmError::Paused);
    require!(
        number == sum(network.last_batch, 1)?,
        StrmError::BatchOutOfOrder
    );
    require!(
        settlement.first_receipt == sum(network.last_receipt, 1)?
            && settlement.last_receipt >= settlement.first_receipt,
        StrmError::ReceiptsOutOfOrder
    );
    let empty = settlement.leaves == 0;
    require!(empty == (settlement.total == 0), StrmError::EmptyBatch);
    require!(
        settlement.total <= accounts.vault.amount,
        StrmError::Insufficient
    );
    let now = Clock::get()?.unix_timestamp;
    network.last_batch = number;
    network.last_receipt = settlement.last_receipt;
    network.last_settled_at = now;
    network.owed = sum(network.owed, settlement.total)?;
    let address = network.key();
    let batch = Batch {
        network: address,
        number,
        root: settlement.root,
        total: settlement.total,
        leaves: settlement.leaves,
        first_receipt: settlement.first_receipt,
        last_receipt: settlement.last_receipt,
        file_hash: settlement.file_hash,
        settled_at: now,
        claimed: 0,
        swept: false,
        bump: context.bumps.batch,
    };
    create(
        &accounts.batch,
        &accounts.settler,
        Batch::INIT_SPACE,
        &[
            b"batch",
            address.as_ref(),
            &number.to_le_bytes(),
            &[batch.bump],
        ],
        &batch,
    )?;
    if settlement.total > 0 {
        pay(
            &accounts.network,
            &accounts.vault,
            accounts.reward_vault.to_account_info(),
            &accounts.mint,
            &accounts.token_program,
            settlement.total,
        )?;
    }
    emit!(BatchSettled {
        network: address,
        batch: number,
        root: settlement.root,
        total: settlement.total,
        leaves: settlement.leaves,
        first_receipt: settlement.first_receipt,
        last_receipt: settlement.last_receipt,
        file_hash: settlement.file_hash,
    });
    Ok(())
}

/// Accounts of `sweep`.
#[derive(Accounts)]
pub struct Sweep<'info> {
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
    /// The mint of STRM.
    pub mint: Box<InterfaceAccount<'info, Mint>>,
    /// Where rewards lie.
    #[account(mut, seeds = [b"rewards", network.key().as_ref()], bump)]
    pub reward_vault: Box<InterfaceAccount<'info, TokenAccount>>,
    /// The tokens of the treasury.
    #[account(mut, token::mint = mint, token::authority = network.terms.treasury)]
    pub treasury_tokens: Box<InterfaceAccount<'info, TokenAccount>>,
    /// The token program of the mint.
    pub token_program: Interface<'info, TokenInterface>,
}

/// Moves what nobody claimed within a year to the treasury. Anyone may ask for it.
pub(crate) fn sweep(context: Context<Sweep>) -> Result<()> {
    let accounts = context.accounts;
    require!(!accounts.network.paused, StrmError::Paused);
    let batch = &mut accounts.batch;
    require!(!batch.swept, StrmError::Swept);
    let ends = batch
        .settled_at
        .checked_add(CLAIMABLE_S)
        .ok_or(StrmError::Overflow)?;
    require!(
        Clock::get()?.unix_timestamp >= ends,
        StrmError::TooEarlyToSweep
    );
    let rest = difference(batch.total, batch.claimed)?;
    batch.swept = true;
    let number = batch.number;
    accounts.network.owed = difference(accounts.network.owed, rest)?;
    if rest > 0 {
        pay(
            &accounts.network,
            &accounts.reward_vault,
            accounts.treasury_tokens.to_account_info(),
            &accounts.mint,
            &accounts.token_program,
            rest,
        )?;
    }
    emit!(Swept {
        network: accounts.network.key(),
        batch: number,
        amount: rest,
    });
    Ok(())
}

/// Accounts of `close_page`.
#[derive(Accounts)]
#[instruction(page: u32)]
pub struct ClosePage<'info> {
    /// The batch, which was swept: nothing can be claimed of it any more.
    #[account(
        constraint = batch.swept @ StrmError::NotSwept,
        seeds = [b"batch", batch.network.as_ref(), batch.number.to_le_bytes().as_ref()],
        bump = batch.bump
    )]
    pub batch: Box<Account<'info, Batch>>,
    /// The page.
    #[account(
        mut,
        close = payer,
        has_one = payer,
        seeds = [b"claims", batch.key().as_ref(), page.to_le_bytes().as_ref()],
        bump
    )]
    pub claims: Box<Account<'info, ClaimsPage>>,
    /// Who has paid for it.
    #[account(mut)]
    pub payer: SystemAccount<'info>,
}

/// Gives the rent of a page of a swept batch back to who has paid it. Anyone may ask for it.
pub(crate) fn close_page(_context: Context<ClosePage>, _page: u32) -> Result<()> {
    Ok(())
}
