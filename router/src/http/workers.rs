//! `GET /v1/workers`.

use crate::Router;
use axum::{Json, extract::State};
use serde_json::{Value, json};

pub(super) async fn list(State(router): State<Router>) -> Json<Value> {
    let workers = router
        .fleet()
        .workers()
        .into_iter()
        .map(|(worker, health)| {
            let age_ms = u64::try_from(worker.age.as_millis()).unwrap_or(u64::MAX);
            json!({
                "worker": worker.heartbeat.worker,
                "endpoint": worker.heartbeat.endpoint,
                "version": worker.heartbeat.version,
                "health": health,
                "last_heartbeat_ms": age_ms,
                "running": worker.heartbeat.running,
                "waiting": worker.heartbeat.waiting,
                "cached_bytes": worker.heartbeat.cached_bytes,
            })
        });
    let workers: Vec<_> = workers.collect();
    Json(json!({ "workers": workers, "registry_in_touch": router.fleet().in_touch() }))
}
