//! The router over HTTP.

mod audit;
mod error;
mod format;
mod query;
mod tables;
mod workers;

use crate::Router;
use axum::{
    Router as Routes,
    extract::{FromRef, State},
    http::StatusCode,
    routing::{get, post},
};
use error::Failure;
use metrics_exporter_prometheus::PrometheusHandle;
use streamsync_registry::Registry;

/// What a router serves to clients; `docs/API.md` describes it.
///
/// The registry is asked for what a router itself does not know: the history of workers, and audits.
pub fn routes(router: Router, registry: Registry, metrics: PrometheusHandle) -> Routes {
    Routes::new()
        .route("/v1/query", post(query::query))
        .route("/v1/tables", get(tables::list))
        .route("/v1/tables/{name}", get(tables::show))
        .route("/v1/queries/{id}/audit", get(audit::show))
        .route("/v1/workers", get(workers::list))
        .route("/v1/workers/{id}", get(workers::show))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(async move || metrics.render()))
        .fallback(async || Failure::not_found())
        .method_not_allowed_fallback(async || Failure::method_not_allowed())
        .with_state(Served { router, registry })
}

/// What requests are answered from.
#[derive(Clone, FromRef)]
struct Served {
    router: Router,
    registry: Registry,
}

async fn ready(State(router): State<Router>) -> (StatusCode, &'static str) {
    if router.is_ready() {
        (StatusCode::OK, "ready\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "not ready: no lake, or too few workers\n",
        )
    }
}
