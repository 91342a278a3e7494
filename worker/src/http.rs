//! The worker over HTTP/2.

mod body;
mod error;

use crate::{CacheReport, Worker};
use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, HeaderValue, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use error::Failure;
use streamsync_core::{ANSWER_HEADER, PROTOCOL_HEADER, Protocols, QUEUED_HEADER, Query};
use streamsync_telemetry::Metrics;
use tracing::Instrument;

/// The largest query that a worker takes, with its parameters and partitions.
const MAX_QUERY_BYTES: usize = 64 << 20;

/// What a worker serves: `POST /v1/execute`, `GET /v1/cache`, `GET /healthz`, `GET /metrics`.
///
/// An answer is an Arrow IPC stream, with the [`SignedAnswer`](streamsync_core::SignedAnswer) in
/// the header [`ANSWER_HEADER`]: the caller knows the digest before it takes the first row, and
/// hangs up if it needs no rows.
pub fn routes(worker: Worker, metrics: Metrics) -> Router {
    Router::new()
        .route("/v1/execute", post(execute))
        .route("/v1/cache", get(cache))
        .route("/healthz", get(async || "ok\n"))
        .route("/metrics", get(async move || metrics.render()))
        .layer(DefaultBodyLimit::max(MAX_QUERY_BYTES))
        .with_state(worker)
}

async fn cache(State(worker): State<Worker>) -> Json<CacheReport> {
    Json(worker.cache().await)
}

async fn execute(
    State(worker): State<Worker>,
    headers: HeaderMap,
    Json(query): Json<Query>,
) -> Result<Response, Failure> {
    // The router's lines about the query carry the same field; of this level, so that it is there whatever
    // is logged.
    let span = tracing::error_span!("execute", query = %query.id, worker = %worker.id());
    streamsync_telemetry::continue_trace(&span, &headers);
    understood(&headers)?;
    let answer = worker.execute(query).instrument(span).await?;
    let signed = signed_header(&answer.signed)?;
    let queued = answer.queued.as_micros().to_string();
    let body = body::stream(answer.schema, answer.batches);
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(ANSWER_HEADER, signed);
    headers.insert(
        QUEUED_HEADER,
        HeaderValue::try_from(queued).map_err(Failure::encode)?,
    );
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/vnd.apache.arrow.stream"),
    );
    Ok(response)
}

/// Whether this worker understands the router.
fn understood(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(version) = headers.get(PROTOCOL_HEADER) else {
        return Ok(());
    };
    let version = version.to_str().unwrap_or_default();
    match version.parse() {
        Ok(number) if Protocols::OWN.include(number) => Ok(()),
        _ => Err(Failure::protocol(version)),
    }
}

fn signed_header(signed: &streamsync_core::SignedAnswer) -> Result<HeaderValue, Failure> {
    let json = serde_json::to_string(signed).map_err(Failure::encode)?;
    HeaderValue::try_from(json).map_err(Failure::encode)
}
