//! Instructions of the Token program, and those of Token-2022 that it shares with it.

use super::{Form, Forms, Info, TransactionProblem};
use solana_pubkey::Pubkey;
use spl_token_interface::instruction::{AuthorityType, TokenInstruction};

pub(super) const PROGRAM: &str = "spl-token";

/// Extensions by their number in Token-2022.
const EXTENSIONS: [&str; 20] = [
    "uninitialized",
    "transferFeeConfig",
    "transferFeeAmount",
    "mintCloseAuthority",
    "confidentialTransferMint",
    "confidentialTransferAccount",
    "defaultAccountState",
    "immutableOwner",
    "memoTransfer",
    "nonTransferable",
    "interestBearingConfig",
    "cpiGuard",
    "permanentDelegate",
    "nonTransferableAccount",
    "transferHook",
    "transferHookAccount",
    "confidentialTransferFeeConfig",
    "confidentialTransferFeeAmount",
    "metadataPointer",
    "tokenMetadata",
];

/// The number of Token-2022's `WithdrawExcessLamports`, which has no fields.
const WITHDRAW_EXCESS_LAMPORTS: u8 = 38;

pub(super) fn restore(info: &Info<'_>) -> Result<Forms, TransactionProblem> {
    match info.kind {
        "initializeMint" | "initializeMint2" => initialize_mint(info),
        "setAuthority" => set_authority(info),
        "getAccountDataSize" => get_account_data_size(info),
        "withdrawExcessLamports" => Ok(Forms::one(
            vec![WITHDRAW_EXCESS_LAMPORTS],
            signed(
                info,
                &["source", "destination"],
                "authority",
                "multisigAuthority",
            )?,
        )),
        "uiAmountToAmount" => {
            let ui_amount: String = info.value("uiAmount")?;
            let instruction = TokenInstruction::UiAmountToAmount {
                ui_amount: &ui_amount,
            };
            Ok(Forms::one(instruction.pack(), info.keys(["mint"])?))
        }
        _ => {
            let (instruction, accounts) = simple(info)?;
            Ok(Forms::one(instruction.pack(), accounts))
        }
    }
}

/// Instructions whose fields say all.
fn simple(info: &Info<'_>) -> Result<(TokenInstruction<'static>, Vec<Pubkey>), TransactionProblem> {
    let by_authority = |names: &[&str]| signed(info, names, "authority", "multisigAuthority");
    let by_owner = |names: &[&str]| signed(info, names, "owner", "multisigOwner");
    let by_freezer =
        |names: &[&str]| signed(info, names, "freezeAuthority", "multisigFreezeAuthority");
    let by_minter = |names: &[&str]| signed(info, names, "mintAuthority", "multisigMintAuthority");
    Ok(match info.kind {
        "initializeAccount" => (
            TokenInstruction::InitializeAccount,
            info.keys(["account", "mint", "owner", "rentSysvar"])?,
        ),
        "initializeAccount2" => {
            let owner = info.key("owner")?;
            let accounts = info.keys(["account", "mint", "rentSysvar"])?;
            (TokenInstruction::InitializeAccount2 { owner }, accounts)
        }
        "initializeAccount3" => {
            let owner = info.key("owner")?;
            let accounts = info.keys(["account", "mint"])?;
            (TokenInstruction::InitializeAccount3 { owner }, accounts)
        }
        "initializeMultisig" => {
            let m = info.value("m")?;
            let mut accounts = info.keys(["multisig", "rentSysvar"])?;
            accounts.extend(info.key_list("signers")?);
            (TokenInstruction::InitializeMultisig { m }, accounts)
        }
        "initializeMultisig2" => {
            let m = info.value("m")?;
            let mut accounts = info.keys(["multisig"])?;
            accounts.extend(info.key_list("signers")?);
            (TokenInstruction::InitializeMultisig2 { m }, accounts)
        }
        "initializeImmutableOwner" => {
            let accounts = info.keys(["account"])?;
            (TokenInstruction::InitializeImmutableOwner, accounts)
        }
        "transfer" => {
            let amount = info.text("amount")?;
            let accounts = by_authority(&["source", "destination"])?;
            #[allow(deprecated)]
            (TokenInstruction::Transfer { amount }, accounts)
        }
        "transferChecked" => {
            let (amount, decimals) = token_amount(info)?;
            let accounts = by_authority(&["source", "mint", "destination"])?;
            let instruction = TokenInstruction::TransferChecked { amount, decimals };
            (instruction, accounts)
        }
        "approve" => {
            let amount = info.text("amount")?;
            let accounts = by_owner(&["source", "delegate"])?;
            (TokenInstruction::Approve { amount }, accounts)
        }
        "approveChecked" => {
            let (amount, decimals) = token_amount(info)?;
            let accounts = by_owner(&["source", "mint", "delegate"])?;
            let instruction = TokenInstruction::ApproveChecked { amount, decimals };
            (instruction, accounts)
        }
        "revoke" => (TokenInstruction::Revoke, by_owner(&["source"])?),
        "mintTo" => {
            let amount = info.text("amount")?;
            let accounts = by_minter(&["mint", "account"])?;
            (TokenInstruction::MintTo { amount }, accounts)
        }
        "mintToChecked" => {
            let (amount, decimals) = token_amount(info)?;
            let accounts = by_minter(&["mint", "account"])?;
            let instruction = TokenInstruction::MintToChecked { amount, decimals };
            (instruction, accounts)
        }
        "burn" => {
            let amount = info.text("amount")?;
            let accounts = by_authority(&["account", "mint"])?;
            (TokenInstruction::Burn { amount }, accounts)
        }
        "burnChecked" => {
            let (amount, decimals) = token_amount(info)?;
            let accounts = by_authority(&["account", "mint"])?;
            let instruction = TokenInstruction::BurnChecked { amount, decimals };
            (instruction, accounts)
        }
        "closeAccount" => {
            let accounts = by_owner(&["account", "destination"])?;
            (TokenInstruction::CloseAccount, accounts)
        }
        "freezeAccount" => {
            let accounts = by_freezer(&["account", "mint"])?;
            (TokenInstruction::FreezeAccount, accounts)
        }
        "thawAccount" => {
            let accounts = by_freezer(&["account", "mint"])?;
            (TokenInstruction::ThawAccount, accounts)
        }
        "syncNative" => (TokenInstruction::SyncNative, info.keys(["account"])?),
        "amountToUiAmount" => {
            let amount = info.text("amount")?;
            let accounts = info.keys(["mint"])?;
            (TokenInstruction::AmountToUiAmount { amount }, accounts)
        }
        _ => return Err(info.unknown()),
    })
}

fn initialize_mint(info: &Info<'_>) -> Result<Forms, TransactionProblem> {
    let decimals = info.value("decimals")?;
    let mint_authority = info.key("mintAuthority")?;
    let freezer = info.optional_key("freezeAuthority")?;
    let freeze_authority = freezer.into();
    let (instruction, accounts) = match info.kind {
        "initializeMint" => (
            TokenInstruction::InitializeMint {
                decimals,
                mint_authority,
                freeze_authority,
            },
            info.keys(["mint", "rentSysvar"])?,
        ),
        _ => (
            TokenInstruction::InitializeMint2 {
                decimals,
                mint_authority,
                freeze_authority,
            },
            info.keys(["mint"])?,
        ),
    };
    Ok(maybe_padded(
        instruction.pack(),
        accounts,
        freezer.is_none(),
    ))
}

fn set_authority(info: &Info<'_>) -> Result<Forms, TransactionProblem> {
    let kind: String = info.value("authorityType")?;
    let (authority_type, owned) = match kind.as_str() {
        "mintTokens" => (AuthorityType::MintTokens, "mint"),
        "freezeAccount" => (AuthorityType::FreezeAccount, "mint"),
        "accountOwner" => (AuthorityType::AccountOwner, "account"),
        "closeAccount" => (AuthorityType::CloseAccount, "account"),
        other => return Err(info.problem(format!("its authority type `{other}` is not known"))),
    };
    let new_authority = info.optional_key("newAuthority")?;
    let absent = new_authority.is_none();
    let instruction = TokenInstruction::SetAuthority {
        authority_type,
        new_authority: new_authority.into(),
    };
    let accounts = signed(info, &[owned], "authority", "multisigAuthority")?;
    Ok(maybe_padded(instruction.pack(), accounts, absent))
}

fn get_account_data_size(info: &Info<'_>) -> Result<Forms, TransactionProblem> {
    let mut data = TokenInstruction::GetAccountDataSize.pack();
    if info.has("extensionTypes") {
        let names: Vec<String> = info.value("extensionTypes")?;
        for name in &names {
            let number = EXTENSIONS.iter().position(|known| known == name);
            let number = number.and_then(|number| u16::try_from(number).ok());
            let number = number
                .ok_or_else(|| info.problem(format!("its extension `{name}` is not known")))?;
            data.extend(number.to_le_bytes());
        }
    }
    Ok(Forms::one(data, info.keys(["mint"])?))
}

/// Some clients write as many bytes for an address that is absent as for one that is there.
fn maybe_padded(data: Vec<u8>, accounts: Vec<Pubkey>, absent: bool) -> Forms {
    let mut forms = Forms::one(data.clone(), accounts.clone());
    if absent {
        let data = [data.as_slice(), &[0; 32]].concat();
        forms.forms.push(Form { data, accounts });
    }
    forms
}

/// The named accounts, then the authority; for a multisig its signers too.
fn signed(
    info: &Info<'_>,
    names: &[&str],
    single: &str,
    multisig: &str,
) -> Result<Vec<Pubkey>, TransactionProblem> {
    let mut accounts = names
        .iter()
        .map(|name| info.key(name))
        .collect::<Result<Vec<_>, _>>()?;
    if info.has(multisig) {
        accounts.push(info.key(multisig)?);
        accounts.extend(info.key_list("signers")?);
    } else {
        accounts.push(info.key(single)?);
    }
    Ok(accounts)
}

fn token_amount(info: &Info<'_>) -> Result<(u64, u8), TransactionProblem> {
    let amount = info.inside("tokenAmount")?;
    Ok((amount.text("amount")?, amount.value("decimals")?))
}
