//! Which receipts come next.

use crate::batch::genuine;
use std::collections::{BTreeMap, BTreeSet};
use streamsync_core::{SignedReceipt, WorkerId};
use streamsync_registry::{Registry, RegistryError};

/// How many receipts are read from Redis at once.
const AT_ONCE: usize = 2_000;

/// Receipts of a batch, in their order: by router, then by number.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    /// As the routers wrote them.
    pub lines: Vec<String>,
    /// The same, read.
    pub signed: Vec<SignedReceipt>,
    /// Up to which number the receipts of each router are settled with them.
    pub routers: BTreeMap<WorkerId, u64>,
    /// Routers of which a receipt is missing, and the number of the first one. What comes after it
    /// waits.
    pub missing: BTreeMap<WorkerId, u64>,
    /// How many entries are not signed by a router that is to be settled.
    pub strange: u64,
    /// The place of the last entry before the first that is not settled.
    pub settled_up_to: Option<String>,
}

/// Why receipts could not be collected.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// Redis does not answer.
    #[error("could not collect receipts")]
    Registry(#[from] RegistryError),
    /// A thread ended early.
    #[error("checking receipts was broken off")]
    BrokenOff(#[from] tokio::task::JoinError),
}

/// Collects the receipts after those that are settled, without gaps for each router. What comes
/// after a gap waits until it is closed. Only what a router has signed takes a number, so that nobody
/// can keep a receipt out by writing another of its number.
///
/// Entries up to and including the one at `from` are known to be settled, and are not looked at.
pub(crate) async fn collect(
    registry: &Registry,
    routers: &BTreeSet<WorkerId>,
    settled: &BTreeMap<WorkerId, u64>,
    most: usize,
    from: Option<String>,
) -> Result<Collected, CollectError> {
    let mut found: BTreeMap<(WorkerId, u64), (String, SignedReceipt)> = BTreeMap::new();
    let mut collected = Collected {
        routers: settled.clone(),
        ..Collected::default()
    };
    collected.settled_up_to.clone_from(&from);
    let mut after = from;
    while found.len() < most {
        let filed = registry.receipts(after.as_deref(), AT_ONCE).await?;
        let Some(last) = filed.last() else {
            break;
        };
        after = Some(last.id.clone());
        // Checking signatures is work.
        let read = tokio::task::spawn_blocking(move || {
            let read = filed.into_iter().map(|filed| {
                let signed = genuine(&filed.receipt);
                (filed.id, filed.receipt, signed)
            });
            read.collect::<Vec<_>>()
        });
        for (id, line, signed) in read.await? {
            let signed = signed.filter(|signed| routers.contains(&signed.receipt.router));
            let Some(signed) = signed else {
                collected.strange += 1;
                continue;
            };
            let (router, number) = (signed.receipt.router, signed.receipt.number);
            if number > settled.get(&router).copied().unwrap_or_default() {
                found.entry((router, number)).or_insert((line, signed));
            } else if found.is_empty() {
                collected.settled_up_to = Some(id);
            }
        }
    }
    for ((router, number), (line, signed)) in found {
        if collected.lines.len() >= most {
            break;
        }
        let last = collected.routers.entry(router).or_default();
        if number != *last + 1 {
            collected.missing.entry(router).or_insert(*last + 1);
            continue;
        }
        *last = number;
        collected.signed.push(signed);
        collected.lines.push(line);
    }
    collected.routers.retain(|_, last| *last > 0);
    Ok(collected)
}

/// The router and the number of a receipt that its router has signed.
pub(crate) fn genuine_place(line: &str) -> Option<(WorkerId, u64)> {
    genuine(line).map(|signed| (signed.receipt.router, signed.receipt.number))
}
