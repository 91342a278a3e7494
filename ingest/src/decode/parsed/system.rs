//! Instructions of the System program.

use super::{Form, Forms, Info, TransactionProblem};
use solana_system_interface::instruction::SystemInstruction;

pub(super) const PROGRAM: &str = "system";

pub(super) fn restore(info: &Info<'_>) -> Result<Forms, TransactionProblem> {
    let (instruction, accounts) = match info.kind {
        "createAccount" => (
            SystemInstruction::CreateAccount {
                lamports: info.value("lamports")?,
                space: info.value("space")?,
                owner: info.key("owner")?,
            },
            info.keys(["source", "newAccount"])?,
        ),
        "createAccountWithSeed" => return create_account_with_seed(info),
        "assign" => (
            SystemInstruction::Assign {
                owner: info.key("owner")?,
            },
            info.keys(["account"])?,
        ),
        "assignWithSeed" => (
            SystemInstruction::AssignWithSeed {
                base: info.key("base")?,
                seed: info.value("seed")?,
                owner: info.key("owner")?,
            },
            info.keys(["account", "base"])?,
        ),
        "transfer" => (
            SystemInstruction::Transfer {
                lamports: info.value("lamports")?,
            },
            info.keys(["source", "destination"])?,
        ),
        "transferWithSeed" => (
            SystemInstruction::TransferWithSeed {
                lamports: info.value("lamports")?,
                from_seed: info.value("sourceSeed")?,
                from_owner: info.key("sourceOwner")?,
            },
            info.keys(["source", "sourceBase", "destination"])?,
        ),
        "allocate" => (
            SystemInstruction::Allocate {
                space: info.value("space")?,
            },
            info.keys(["account"])?,
        ),
        "allocateWithSeed" => (
            SystemInstruction::AllocateWithSeed {
                base: info.key("base")?,
                seed: info.value("seed")?,
                space: info.value("space")?,
                owner: info.key("owner")?,
            },
            info.keys(["account", "base"])?,
        ),
        "advanceNonce" => (
            SystemInstruction::AdvanceNonceAccount,
            info.keys(["nonceAccount", "recentBlockhashesSysvar", "nonceAuthority"])?,
        ),
        "withdrawFromNonce" => (
            SystemInstruction::WithdrawNonceAccount(info.value("lamports")?),
            info.keys([
                "nonceAccount",
                "destination",
                "recentBlockhashesSysvar",
                "rentSysvar",
                "nonceAuthority",
            ])?,
        ),
        "initializeNonce" => (
            SystemInstruction::InitializeNonceAccount(info.key("nonceAuthority")?),
            info.keys(["nonceAccount", "recentBlockhashesSysvar", "rentSysvar"])?,
        ),
        "authorizeNonce" => (
            SystemInstruction::AuthorizeNonceAccount(info.key("newAuthorized")?),
            info.keys(["nonceAccount", "nonceAuthority"])?,
        ),
        "upgradeNonce" => (
            SystemInstruction::UpgradeNonceAccount,
            info.keys(["nonceAccount"])?,
        ),
        _ => return Err(info.unknown()),
    };
    Ok(Forms::one(data(info, &instruction)?, accounts))
}

/// The base signs. Where it is the source, which signs already, only some clients name it again.
fn create_account_with_seed(info: &Info<'_>) -> Result<Forms, TransactionProblem> {
    let data = data(
        info,
        &SystemInstruction::CreateAccountWithSeed {
            base: info.key("base")?,
            seed: info.value("seed")?,
            lamports: info.value("lamports")?,
            space: info.value("space")?,
            owner: info.key("owner")?,
        },
    )?;
    let full = info.keys(["source", "newAccount", "base"])?;
    let mut forms = Forms::one(data.clone(), full.clone());
    if info.key("base")? == info.key("source")? {
        let short = full.into_iter().take(2).collect();
        let form = Form {
            data,
            accounts: short,
        };
        forms.forms.push(form);
        forms.sure_if_inner = false;
    }
    Ok(forms)
}

fn data(info: &Info<'_>, instruction: &SystemInstruction) -> Result<Vec<u8>, TransactionProblem> {
    bincode::serialize(instruction)
        .map_err(|error| info.problem(format!("its fields do not fit together: {error}")))
}
