//! `GET /v1/settlements[/{batch}]` and `GET /v1/rewards/{operator}`: who was paid what for receipts.

use super::{
    access::{Allowed, Reads},
    error::Failure,
};
use crate::Router;
use axum::{
    Json,
    extract::{Path, Query, State},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::{collections::BTreeMap, sync::Arc};
use streamsync_core::{Amount, Receipt, SignedReceipt, WorkerId};
use streamsync_registry::{FiledReceipt, Paid, Registry};

/// How many batches are listed at once, unless fewer are asked for.
const AT_ONCE: usize = 1_000;
/// How many receipts are looked at for rewards that are not settled yet.
const PENDING_RECEIPTS: usize = 50_000;

/// Which batches.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Page {
    before: Option<u64>,
    limit: Option<usize>,
}

pub(super) async fn list(
    State(registry): State<Registry>,
    pages: Result<Query<Page>, axum::extract::rejection::QueryRejection>,
    _allowed: Allowed<Reads>,
) -> Result<Json<Value>, Failure> {
    let Query(page) = pages.map_err(|error| Failure::unreadable(&error))?;
    let limit = page.limit.unwrap_or(AT_ONCE).clamp(1, AT_ONCE);
    let batches = registry.settlements(page.before, limit).await?;
    Ok(Json(json!({ "settlements": batches })))
}

pub(super) async fn show(
    State(registry): State<Registry>,
    Path(batch): Path<String>,
    _allowed: Allowed<Reads>,
) -> Result<Json<Value>, Failure> {
    let number: Option<u64> = batch.parse().ok();
    let newest_first = registry
        .settlements(number.and_then(|number| number.checked_add(1)), 1)
        .await?;
    let found = newest_first
        .into_iter()
        .find(|found| Some(found.batch) == number);
    let found = found.ok_or_else(|| Failure::no_batch(&batch))?;
    Ok(Json(json!(found)))
}

/// What a worker has earned.
#[derive(Serialize)]
struct Earned {
    worker: WorkerId,
    #[serde(flatten)]
    paid: Paid,
    /// What its receipts earn that are not settled yet.
    pending: Amount,
}

pub(super) async fn rewards(
    State(router): State<Router>,
    State(registry): State<Registry>,
    Path(operator): Path<String>,
    _allowed: Allowed<Reads>,
) -> Result<Json<Value>, Failure> {
    let operator: WorkerId = operator
        .parse()
        .map_err(|_| Failure::no_worker(&operator))?;
    let known = router.fleet().workers();
    let runs = known
        .iter()
        .map(|(known, _)| &known.heartbeat)
        .filter(|heartbeat| heartbeat.operator() == operator)
        .map(|heartbeat| heartbeat.worker);
    // Rewards are paid to the keys of workers, and an operator may have one of its own.
    let mut workers: Vec<WorkerId> = runs.chain([operator]).collect();
    workers.sort_unstable();
    workers.dedup();
    let (pending, complete) = pending(&registry).await?;
    let mut earned = Vec::new();
    for worker in workers {
        earned.push(Earned {
            worker,
            paid: registry.paid(worker).await?,
            pending: pending.get(&worker).copied().unwrap_or_default(),
        });
    }
    Ok(Json(json!({
        "operator": operator,
        "workers": earned,
        "pending_complete": complete,
    })))
}

/// What receipts earn that are not settled yet, and whether these are all of them.
async fn pending(registry: &Registry) -> Result<(BTreeMap<WorkerId, Amount>, bool), Failure> {
    let mut pending: BTreeMap<WorkerId, Amount> = BTreeMap::new();
    let settled = Arc::new(registry.settled().await?);
    let mut before: Option<String> = None;
    let mut looked_at = 0;
    // Newest first: settled ones stay in Redis for a while, and are older.
    while looked_at < PENDING_RECEIPTS {
        let filed = registry.newest_receipts(before.as_deref(), AT_ONCE).await?;
        before = filed.last().map(|oldest| oldest.id.clone());
        let settled = Arc::clone(&settled);
        // Reading so many would keep queries waiting.
        let read = tokio::task::spawn_blocking(move || not_settled(&filed, &settled));
        let receipts = read.await.map_err(|error| Failure::internal(&error))?;
        if receipts.is_empty() {
            return Ok((pending, true));
        }
        looked_at += receipts.len();
        for receipt in &receipts {
            let verifiers = receipt.verifiers.iter().zip(&receipt.split.verifiers);
            let winner = (&receipt.winner, &receipt.split.winner);
            for (worker, amount) in verifiers.chain([winner]) {
                let sum = pending.entry(*worker).or_default();
                sum.0 = sum.0.saturating_add(amount.0);
            }
        }
    }
    Ok((pending, false))
}

fn not_settled(filed: &[FiledReceipt], settled: &BTreeMap<WorkerId, u64>) -> Vec<Receipt> {
    let read = filed.iter().filter_map(|filed| {
        let signed: SignedReceipt = serde_json::from_str(&filed.receipt).ok()?;
        Some(signed.receipt)
    });
    let last = |receipt: &Receipt| settled.get(&receipt.router).copied().unwrap_or_default();
    read.filter(|receipt| receipt.number > last(receipt))
        .collect()
}
