//! Moving tokens.

use crate::{error::StrmError, state::Network};
use anchor_lang::prelude::*;
use anchor_spl::{
    token_2022::spl_token_2022::extension::{
        BaseStateWithExtensions, ExtensionType, StateWithExtensions,
    },
    token_2022::spl_token_2022::state::Mint as MintState,
    token_interface::{Mint, TokenAccount, TokenInterface, TransferChecked, transfer_checked},
};

/// Moves tokens out of an account of the network.
pub(super) fn pay<'info>(
    network: &Account<'info, Network>,
    from: &InterfaceAccount<'info, TokenAccount>,
    to: AccountInfo<'info>,
    mint: &InterfaceAccount<'info, Mint>,
    token_program: &Interface<'info, TokenInterface>,
    amount: u64,
) -> Result<()> {
    let bump = [network.bump];
    let seeds: &[&[u8]] = &[
        b"network",
        network.mint.as_ref(),
        network.creator.as_ref(),
        &bump,
    ];
    let accounts = TransferChecked {
        from: from.to_account_info(),
        mint: mint.to_account_info(),
        to,
        authority: network.to_account_info(),
    };
    let signers = [seeds];
    let context = CpiContext::new_with_signer(token_program.key(), accounts, &signers);
    transfer_checked(context, amount, mint.decimals)
}

/// Moves tokens from somebody who signs.
pub(super) fn take<'info>(
    owner: &Signer<'info>,
    from: &InterfaceAccount<'info, TokenAccount>,
    to: &InterfaceAccount<'info, TokenAccount>,
    mint: &InterfaceAccount<'info, Mint>,
    token_program: &Interface<'info, TokenInterface>,
    amount: u64,
) -> Result<()> {
    require!(amount > 0, StrmError::ZeroAmount);
    let accounts = TransferChecked {
        from: from.to_account_info(),
        mint: mint.to_account_info(),
        to: to.to_account_info(),
        authority: owner.to_account_info(),
    };
    let context = CpiContext::new(token_program.key(), accounts);
    transfer_checked(context, amount, mint.decimals)
}

/// Refuses mints of Token-2022 by which others can take, hold or tax tokens: only extensions that
/// describe a mint are known to be harmless.
pub(super) fn check_extensions(mint: &InterfaceAccount<Mint>) -> Result<()> {
    let info = mint.to_account_info();
    if *info.owner != anchor_spl::token_2022::ID {
        return Ok(());
    }
    let data = info.try_borrow_data()?;
    let state = StateWithExtensions::<MintState>::unpack(&data)?;
    let harmless = [
        ExtensionType::MetadataPointer,
        ExtensionType::TokenMetadata,
        ExtensionType::GroupPointer,
        ExtensionType::TokenGroup,
        ExtensionType::GroupMemberPointer,
        ExtensionType::TokenGroupMember,
    ];
    for extension in state.get_extension_types()? {
        require!(harmless.contains(&extension), StrmError::MintExtension);
    }
    Ok(())
}
