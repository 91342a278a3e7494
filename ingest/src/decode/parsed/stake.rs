//! The commonest instructions of the Stake program.

use super::{Forms, Info, TransactionProblem};
use solana_pubkey::Pubkey;

pub(super) const PROGRAM: &str = "stake";

pub(super) fn restore(info: &Info<'_>) -> Result<Forms, TransactionProblem> {
    let (data, accounts) = match info.kind {
        "initialize" => (
            initialize(info)?,
            info.present(["stakeAccount", "rentSysvar"])?,
        ),
        "authorize" => {
            let kind: String = info.value("authorityType")?;
            let kind = match kind.as_str() {
                "Staker" => 0_u32,
                "Withdrawer" => 1,
                _ => return Err(info.problem("its authority type is not known")),
            };
            let authority = info.key("newAuthority")?;
            let names = ["stakeAccount", "clockSysvar", "authority", "custodian"];
            (
                [&data(1)[..], authority.as_array(), &kind.to_le_bytes()].concat(),
                info.present(names)?,
            )
        }
        "delegate" => (
            data(2).to_vec(),
            info.present([
                "stakeAccount",
                "voteAccount",
                "clockSysvar",
                "stakeHistorySysvar",
                "stakeConfigAccount",
                "stakeAuthority",
            ])?,
        ),
        "split" => (
            with_lamports(info, 3)?,
            info.present(["stakeAccount", "newSplitAccount", "stakeAuthority"])?,
        ),
        "withdraw" => (
            with_lamports(info, 4)?,
            info.present([
                "stakeAccount",
                "destination",
                "clockSysvar",
                "stakeHistorySysvar",
                "withdrawAuthority",
                "custodian",
            ])?,
        ),
        "deactivate" => (
            data(5).to_vec(),
            info.present(["stakeAccount", "clockSysvar", "stakeAuthority"])?,
        ),
        "merge" => (
            data(7).to_vec(),
            info.present([
                "destination",
                "source",
                "clockSysvar",
                "stakeHistorySysvar",
                "stakeAuthority",
            ])?,
        ),
        _ => return Err(info.unknown()),
    };
    Ok(Forms::one(data, accounts))
}

/// The number of an instruction, which begins its data.
fn data(number: u32) -> [u8; 4] {
    number.to_le_bytes()
}

fn with_lamports(info: &Info<'_>, number: u32) -> Result<Vec<u8>, TransactionProblem> {
    let lamports: u64 = info.value("lamports")?;
    Ok([&data(number)[..], &lamports.to_le_bytes()].concat())
}

fn initialize(info: &Info<'_>) -> Result<Vec<u8>, TransactionProblem> {
    let authorized = info.inside("authorized")?;
    let lockup = info.inside("lockup")?;
    let staker: Pubkey = authorized.key("staker")?;
    let withdrawer: Pubkey = authorized.key("withdrawer")?;
    let unix_timestamp: i64 = lockup.value("unixTimestamp")?;
    let epoch: u64 = lockup.value("epoch")?;
    let custodian: Pubkey = lockup.key("custodian")?;
    Ok([
        &data(0)[..],
        staker.as_array(),
        withdrawer.as_array(),
        &unix_timestamp.to_le_bytes(),
        &epoch.to_le_bytes(),
        custodian.as_array(),
    ]
    .concat())
}
