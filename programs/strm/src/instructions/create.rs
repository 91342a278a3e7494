//! Creating accounts at derived addresses.
//!
//! Anyone can send lamports to an address before its account exists, and from then on the system
//! program refuses to create it in one step. (Anchor's `init` asks for the step of SIMD-0312 then,
//! which not every cluster has.) A batch that could not be created would hold up all that follow,
//! so accounts are created in the three steps that always work.

use anchor_lang::solana_program::program_pack::Pack;
use anchor_lang::{
    prelude::*,
    system_program::{self, Allocate, Assign, Transfer},
};
use anchor_spl::{
    token_2022::spl_token_2022::state::Account as TokenState,
    token_interface::{InitializeAccount3, Mint, TokenInterface, initialize_account3},
};

/// Creates an account of this program and puts its first state into it. It fails if the account
/// exists.
pub(super) fn create<'info, T: AccountSerialize>(
    account: &UncheckedAccount<'info>,
    payer: &Signer<'info>,
    space: usize,
    seeds: &[&[u8]],
    state: &T,
) -> Result<()> {
    // The discriminator comes first.
    allocate(account, payer, 8 + space, &crate::ID, seeds)?;
    store(account, state)
}

/// The state of an account of this program, which is created when it does not exist yet.
pub(super) fn open_or_create<'info, T: AccountSerialize + AccountDeserialize>(
    account: &UncheckedAccount<'info>,
    payer: &Signer<'info>,
    space: usize,
    seeds: &[&[u8]],
    first: T,
) -> Result<T> {
    if account.owner == &System::id() {
        create(account, payer, space, seeds, &first)?;
        return Ok(first);
    }
    require_keys_eq!(
        *account.owner,
        crate::ID,
        ErrorCode::AccountOwnedByWrongProgram
    );
    T::try_deserialize(&mut account.try_borrow_data()?.as_ref())
}

/// Writes the state of an account of this program.
pub(super) fn store<T: AccountSerialize>(account: &UncheckedAccount, state: &T) -> Result<()> {
    let mut data = account.try_borrow_mut_data()?;
    state.try_serialize(&mut data.as_mut())
}

/// Creates a token account of the network, unless it exists.
pub(super) fn token_account<'info>(
    account: &UncheckedAccount<'info>,
    payer: &Signer<'info>,
    mint: &InterfaceAccount<'info, Mint>,
    network: &AccountInfo<'info>,
    token_program: &Interface<'info, TokenInterface>,
    seeds: &[&[u8]],
) -> Result<()> {
    if account.owner != &System::id() {
        return Ok(());
    }
    let program = token_program.key();
    allocate(account, payer, TokenState::LEN, &program, seeds)?;
    let accounts = InitializeAccount3 {
        account: account.to_account_info(),
        mint: mint.to_account_info(),
        authority: network.clone(),
    };
    initialize_account3(CpiContext::new(program, accounts))
}

fn allocate<'info>(
    account: &UncheckedAccount<'info>,
    payer: &Signer<'info>,
    space: usize,
    owner: &Pubkey,
    seeds: &[&[u8]],
) -> Result<()> {
    let missing = Rent::get()?
        .minimum_balance(space)
        .saturating_sub(account.lamports());
    let system = System::id();
    if missing > 0 {
        let accounts = Transfer {
            from: payer.to_account_info(),
            to: account.to_account_info(),
        };
        system_program::transfer(CpiContext::new(system, accounts), missing)?;
    }
    let signers = [seeds];
    let accounts = Allocate {
        account_to_allocate: account.to_account_info(),
    };
    let context = CpiContext::new_with_signer(system, accounts, &signers);
    system_program::allocate(context, space as u64)?;
    let accounts = Assign {
        account_to_assign: account.to_account_info(),
    };
    let context = CpiContext::new_with_signer(system, accounts, &signers);
    system_program::assign(context, owner)
}
