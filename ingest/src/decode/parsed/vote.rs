//! Instructions of the Vote program.

use super::{Forms, Info, TransactionProblem};
use serde::Deserialize;
use solana_hash::Hash;
use solana_vote_interface::{
    instruction::VoteInstruction,
    state::{
        Lockout, TowerSync, Vote, VoteAuthorizeCheckedWithSeedArgs, VoteAuthorizeWithSeedArgs,
        VoteInit, VoteStateUpdate,
    },
};
use std::collections::VecDeque;

pub(super) const PROGRAM: &str = "vote";

/// A vote on one slot, as the node shows it.
#[derive(Deserialize)]
struct ShownLockout {
    slot: u64,
    confirmation_count: u32,
}

pub(super) fn restore(info: &Info<'_>) -> Result<Forms, TransactionProblem> {
    let (instruction, accounts) = match info.kind {
        "vote" | "voteSwitch" => {
            let vote = vote(info)?;
            let instruction = match info.kind {
                "vote" => VoteInstruction::Vote(vote),
                _ => VoteInstruction::VoteSwitch(vote, info.text("hash")?),
            };
            let names = [
                "voteAccount",
                "slotHashesSysvar",
                "clockSysvar",
                "voteAuthority",
            ];
            (instruction, info.keys(names)?)
        }
        "updatevotestate"
        | "updatevotestateswitch"
        | "compactupdatevotestate"
        | "compactupdatevotestateswitch" => {
            let update = vote_state_update(info)?;
            let instruction = match info.kind {
                "updatevotestate" => VoteInstruction::UpdateVoteState(update),
                "compactupdatevotestate" => VoteInstruction::CompactUpdateVoteState(update),
                "updatevotestateswitch" => {
                    VoteInstruction::UpdateVoteStateSwitch(update, info.text("hash")?)
                }
                _ => VoteInstruction::CompactUpdateVoteStateSwitch(update, info.text("hash")?),
            };
            (instruction, info.keys(["voteAccount", "voteAuthority"])?)
        }
        "towersync" | "towersyncswitch" => {
            let sync = tower_sync(info)?;
            let instruction = match info.kind {
                "towersync" => VoteInstruction::TowerSync(sync),
                _ => VoteInstruction::TowerSyncSwitch(sync, info.text("hash")?),
            };
            (instruction, info.keys(["voteAccount", "voteAuthority"])?)
        }
        "initialize" => (
            VoteInstruction::InitializeAccount(VoteInit {
                node_pubkey: info.key("node")?,
                authorized_voter: info.key("authorizedVoter")?,
                authorized_withdrawer: info.key("authorizedWithdrawer")?,
                commission: info.value("commission")?,
            }),
            info.keys(["voteAccount", "rentSysvar", "clockSysvar", "node"])?,
        ),
        "authorize" => (
            VoteInstruction::Authorize(info.key("newAuthority")?, info.value("authorityType")?),
            info.keys(["voteAccount", "clockSysvar", "authority"])?,
        ),
        "authorizeChecked" => (
            VoteInstruction::AuthorizeChecked(info.value("authorityType")?),
            info.keys(["voteAccount", "clockSysvar", "authority", "newAuthority"])?,
        ),
        "authorizeWithSeed" => (
            VoteInstruction::AuthorizeWithSeed(VoteAuthorizeWithSeedArgs {
                authorization_type: info.value("authorityType")?,
                current_authority_derived_key_owner: info.key("authorityOwner")?,
                current_authority_derived_key_seed: info.value("authoritySeed")?,
                new_authority: info.key("newAuthority")?,
            }),
            info.keys(["voteAccount", "clockSysvar", "authorityBaseKey"])?,
        ),
        "authorizeCheckedWithSeed" => (
            VoteInstruction::AuthorizeCheckedWithSeed(VoteAuthorizeCheckedWithSeedArgs {
                authorization_type: info.value("authorityType")?,
                current_authority_derived_key_owner: info.key("authorityOwner")?,
                current_authority_derived_key_seed: info.value("authoritySeed")?,
            }),
            info.keys([
                "voteAccount",
                "clockSysvar",
                "authorityBaseKey",
                "newAuthority",
            ])?,
        ),
        "withdraw" => (
            VoteInstruction::Withdraw(info.value("lamports")?),
            info.keys(["voteAccount", "destination", "withdrawAuthority"])?,
        ),
        "updateValidatorIdentity" => (
            VoteInstruction::UpdateValidatorIdentity,
            info.keys(["voteAccount", "newValidatorIdentity", "withdrawAuthority"])?,
        ),
        "updateCommission" => {
            let commission = info.value("commission")?;
            let instruction = VoteInstruction::UpdateCommission(commission);
            (
                instruction,
                info.keys(["voteAccount", "withdrawAuthority"])?,
            )
        }
        _ => return Err(info.unknown()),
    };
    let data = bincode::serialize(&instruction)
        .map_err(|error| info.problem(format!("its fields do not fit together: {error}")))?;
    Ok(Forms::one(data, accounts))
}

fn vote(info: &Info<'_>) -> Result<Vote, TransactionProblem> {
    let vote = info.inside("vote")?;
    Ok(Vote {
        slots: vote.value("slots")?,
        hash: vote.text("hash")?,
        timestamp: vote.value("timestamp")?,
    })
}

fn vote_state_update(info: &Info<'_>) -> Result<VoteStateUpdate, TransactionProblem> {
    let update = info.inside("voteStateUpdate")?;
    Ok(VoteStateUpdate {
        lockouts: lockouts(&update)?,
        root: update.value("root")?,
        hash: update.text::<Hash>("hash")?,
        timestamp: update.value("timestamp")?,
    })
}

fn tower_sync(info: &Info<'_>) -> Result<TowerSync, TransactionProblem> {
    let sync = info.inside("towerSync")?;
    Ok(TowerSync {
        lockouts: lockouts(&sync)?,
        root: sync.value("root")?,
        hash: sync.text("hash")?,
        timestamp: sync.value("timestamp")?,
        block_id: sync.text("blockId")?,
    })
}

fn lockouts(info: &Info<'_>) -> Result<VecDeque<Lockout>, TransactionProblem> {
    let shown: Vec<ShownLockout> = info.value("lockouts")?;
    let lockout = |shown: ShownLockout| {
        Lockout::new_with_confirmation_count(shown.slot, shown.confirmation_count)
    };
    Ok(shown.into_iter().map(lockout).collect())
}
