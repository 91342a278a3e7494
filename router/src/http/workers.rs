//! `GET /v1/workers` and `GET /v1/workers/{id}`.

use super::{
    access::{Allowed, Reads},
    error::Failure,
};
use crate::Router;
use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::{Value, json};
use std::time::Duration;
use streamsync_core::{Class, WorkerId};
use streamsync_race::{Circuit, Known};
use streamsync_registry::Registry;

pub(super) async fn list(State(router): State<Router>, _allowed: Allowed<Reads>) -> Json<Value> {
    let workers = router.fleet().workers();
    let workers: Vec<_> = workers
        .iter()
        .map(|(known, age)| described(&router, known, *age))
        .collect();
    Json(json!({ "workers": workers, "registry_in_touch": router.fleet().in_touch() }))
}

pub(super) async fn show(
    State(router): State<Router>,
    State(registry): State<Registry>,
    Path(id): Path<String>,
    _allowed: Allowed<Reads>,
) -> Result<Json<Value>, Failure> {
    let worker: WorkerId = id.parse().map_err(|_| Failure::no_worker(&id))?;
    let workers = router.fleet().workers();
    let found = workers
        .iter()
        .find(|(known, _)| known.heartbeat.worker == worker);
    let (known, age) = found.ok_or_else(|| Failure::no_worker(&id))?;
    let mut described = described(&router, known, *age);
    let standing = registry.standing(worker).await?;
    described["record"] = json!(standing.reputation);
    described["history"] = json!(registry.history(worker).await?);
    described["cached_partitions"] = json!(known.heartbeat.holdings.len());
    described["table_versions"] = json!(known.heartbeat.versions);
    Ok(Json(described))
}

fn described(router: &Router, known: &Known, age: Duration) -> Value {
    let Known {
        heartbeat,
        health,
        standing,
        record,
    } = known;
    let now = router.clock().monotonic();
    let excluded = standing.is_excluded(router.clock().unix_millis());
    let reputation = &standing.reputation;
    let circuit = match record.circuit(now) {
        Circuit::Closed => "closed",
        Circuit::HalfOpen => "half-open",
        Circuit::Open => "open",
    };
    let latency = Class::ALL.iter().filter_map(|class| {
        let latency = record.latency(*class)?;
        Some((class.name().to_owned(), json!(latency.as_micros() as u64)))
    });
    json!({
        "worker": heartbeat.worker,
        "operator": heartbeat.operator(),
        "endpoint": heartbeat.endpoint,
        "version": heartbeat.version,
        "profile": heartbeat.profile,
        "ask": heartbeat.ask,
        "health": health,
        "last_heartbeat_ms": u64::try_from(age.as_millis()).unwrap_or(u64::MAX),
        "running": heartbeat.running,
        "waiting": heartbeat.waiting,
        "concurrency": heartbeat.concurrency,
        "cached_bytes": heartbeat.cached_bytes,
        "reputation": {
            "score": reputation.score(),
            "correctness": reputation.correctness(),
            "availability": reputation.availability(),
            "speed": reputation.speed(),
        },
        "convictions": standing.convictions,
        "excluded_until_ms": excluded.then_some(standing.excluded_until_ms),
        "circuit": circuit,
        "in_flight": record.in_flight(),
        "latency_us": latency.collect::<serde_json::Map<_, _>>(),
    })
}
