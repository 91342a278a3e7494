//! The router over HTTP.

mod access;
mod admin_log;
mod audit;
mod credit;
mod error;
mod format;
mod keys;
mod prices;
mod query;
mod receipts;
mod settlements;
mod tables;
mod workers;

use crate::Router;
use access::{Allowed, Operates};
use axum::{
    Router as Routes,
    extract::{FromRef, State},
    http::StatusCode,
    routing::{delete, get, post, put},
};
use error::Failure;
use streamsync_registry::Registry;
use streamsync_telemetry::Metrics;

/// What a router serves to clients; `docs/API.md` describes it.
///
/// The registry is asked for what a router itself does not know: the history of workers, audits,
/// keys, credit and receipts.
pub fn routes(router: Router, registry: Registry, metrics: Metrics) -> Routes {
    Routes::new()
        .route("/v1/query", post(query::query))
        .route("/v1/quote", post(query::quote))
        .route("/v1/prices", get(prices::show))
        .route("/v1/credit", get(credit::own))
        .route("/v1/credit/{client}", get(credit::of).post(credit::add))
        .route("/v1/receipts", get(receipts::own))
        .route("/v1/receipts/all", get(receipts::all))
        .route("/v1/settlements", get(settlements::list))
        .route("/v1/settlements/{batch}", get(settlements::show))
        .route("/v1/rewards/{operator}", get(settlements::rewards))
        .route("/v1/keys", get(keys::list).post(keys::create))
        .route("/v1/keys/{id}", delete(keys::revoke))
        .route("/v1/keys/{id}/rotate", post(keys::rotate))
        .route("/v1/keys/{id}/limits", put(keys::limit))
        .route("/v1/admin-log", get(admin_log::show))
        .route("/v1/tables", get(tables::list))
        .route("/v1/tables/{name}", get(tables::show))
        .route("/v1/queries/{id}/audit", get(audit::show))
        .route("/v1/workers", get(workers::list))
        .route("/v1/workers/{id}", get(workers::show))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route(
            "/metrics",
            get(async move |_: Allowed<Operates>| metrics.render()),
        )
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
