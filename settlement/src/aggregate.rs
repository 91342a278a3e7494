//! From receipts to rewards.

use crate::{Reward, follow::wallet};
use solana_pubkey::Pubkey;
use std::collections::BTreeMap;
use streamsync_core::{Amount, SignedReceipt, WorkerId};

/// Where the parts of the network go.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Parts {
    pub(crate) treasury: Pubkey,
    pub(crate) data: Pubkey,
    pub(crate) governance: Pubkey,
}

/// What receipts and what was left over are worth to whom.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Aggregate {
    /// What is paid, by recipient.
    pub rewards: Vec<Reward>,
    /// What is too little to be paid now, by recipient.
    pub carried: Vec<Reward>,
    /// What the receipts charge.
    pub charged: Amount,
    /// What is paid.
    pub total: Amount,
}

/// Sums that cannot be: more than all the STRM that an amount can count.
#[derive(Debug, thiserror::Error)]
#[error("the receipts of a batch charge more than can be counted")]
pub struct AggregateError;

/// Sums up what good receipts pay, by recipient, in the order of their keys. Who would get less than
/// `dust` gets it with a later batch.
pub(crate) fn aggregate<'a>(
    receipts: impl Iterator<Item = &'a SignedReceipt>,
    carried: &[Reward],
    parts: &Parts,
    dust: Amount,
) -> Result<Aggregate, AggregateError> {
    let mut sums: BTreeMap<Pubkey, u64> = BTreeMap::new();
    let mut add = |to: Pubkey, amount: Amount| {
        let sum = sums.entry(to).or_default();
        *sum = sum.checked_add(amount.0).ok_or(AggregateError)?;
        Ok(())
    };
    for reward in carried {
        add(reward.recipient, reward.amount)?;
    }
    let mut charged = 0_u64;
    for receipt in receipts.map(|signed| &signed.receipt) {
        let split = &receipt.split;
        charged = charged
            .checked_add(receipt.charged.0)
            .ok_or(AggregateError)?;
        add(address(receipt.winner), split.winner)?;
        for (verifier, amount) in receipt.verifiers.iter().zip(&split.verifiers) {
            add(address(*verifier), *amount)?;
        }
        add(parts.treasury, split.treasury)?;
        add(parts.data, split.data)?;
        add(parts.governance, split.governance)?;
    }
    let mut done = Aggregate {
        charged: Amount(charged),
        ..Aggregate::default()
    };
    for (recipient, sum) in sums.into_iter().filter(|(_, sum)| *sum > 0) {
        let amount = Amount(sum);
        let reward = Reward { recipient, amount };
        if amount < dust {
            done.carried.push(reward);
        } else {
            let total = done.total.0.checked_add(sum).ok_or(AggregateError)?;
            done.total = Amount(total);
            done.rewards.push(reward);
        }
    }
    Ok(done)
}

/// A worker's id is its address on Solana.
fn address(worker: WorkerId) -> Pubkey {
    wallet(&worker)
}
