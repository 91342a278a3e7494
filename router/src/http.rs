//! The router over HTTP.

mod error;
mod format;
mod query;
mod tables;
mod workers;

use crate::Router;
use axum::{
    Router as Routes,
    extract::State,
    http::StatusCode,
    routing::{get, post},
};
use error::Failure;
use metrics_exporter_prometheus::PrometheusHandle;

/// What a router serves to clients; `docs/API.md` describes it.
pub fn routes(router: Router, metrics: PrometheusHandle) -> Routes {
    Routes::new()
        .route("/v1/query", post(query::query))
        .route("/v1/tables", get(tables::list))
        .route("/v1/tables/{name}", get(tables::show))
        .route("/v1/workers", get(workers::list))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(async move || metrics.render()))
        .fallback(async || Failure::not_found())
        .method_not_allowed_fallback(async || Failure::method_not_allowed())
        .with_state(router)
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
