//! `POST /v1/query`.

use super::{error::Failure, format::Format};
use crate::{Ask, Client, Raced, Router, stage::Stages};
use axum::{
    body::Body,
    extract::{ConnectInfo, State},
    http::{HeaderMap, HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use futures::StreamExt;
use std::{net::SocketAddr, sync::Arc, time::Duration};
use streamsync_core::{Outcome, WorkerId};
use tracing::Instrument;

pub(super) async fn query(
    State(router): State<Router>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    headers: HeaderMap,
    body: Body,
) -> Response {
    let id = router.query_id();
    let client = Client(address.ip());
    let answered = answer(&router, id, client, &headers, body).await;
    let result = if answered.is_ok() {
        "answered"
    } else {
        "failed"
    };
    metrics::counter!("streamsync_router_queries_total", "result" => result).increment(1);
    answered.unwrap_or_else(|failure| failure.about(id).into_response())
}

async fn answer(
    router: &Router,
    id: streamsync_core::QueryId,
    client: Client,
    headers: &HeaderMap,
    body: Body,
) -> Result<Response, Failure> {
    let format = Format::accepted(headers)?;
    let body = read(body, router.config().max_request_bytes).await?;
    let ask: Ask = serde_json::from_slice(&body).map_err(|error| Failure::json(&error))?;
    // The workers' lines about the query carry the same field.
    let span = tracing::info_span!("query", query = %id);
    let raced = router.query(id, client, ask).instrument(span).await?;
    metrics::histogram!("streamsync_router_query_seconds").record(raced.took.as_secs_f64());
    let headers = described(&raced, router.race_config().quorum());
    let mut stages = Stages::begin(Arc::clone(router.clock()));
    let body = if raced.rows.bytes() <= ENCODED_AT_ONCE {
        format.encode(&raced.rows)?
    } else {
        // Encoding a large answer must not hold up others.
        let encoded = tokio::task::spawn_blocking(move || format.encode(&raced.rows)).await;
        encoded.map_err(|error| Failure::internal(&error))??
    };
    stages.end("encode");
    let content_type = HeaderValue::from_static(format.media_type());
    let content_type = (axum::http::header::CONTENT_TYPE, content_type);
    Ok((headers, [content_type], body).into_response())
}

/// How many times the limit of a request is read, to throw it away, before the client is hung up
/// on: one that still sends does not read the answer that says why it is refused.
const DISCARDED: usize = 32;

/// Answers of up to so many bytes are encoded on the thread that serves the request: handing them
/// over to another takes longer.
const ENCODED_AT_ONCE: usize = 64 << 10;

async fn read(body: Body, limit: usize) -> Result<Vec<u8>, Failure> {
    let (mut kept, mut length) = (Vec::new(), 0_usize);
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| Failure::unreadable(&error))?;
        length = length.saturating_add(piece.len());
        if length <= limit {
            kept.extend_from_slice(&piece);
        } else if length > limit.saturating_mul(DISCARDED) {
            break;
        }
    }
    if length <= limit {
        Ok(kept)
    } else {
        Err(Failure::too_large(limit))
    }
}

fn described(raced: &Raced, quorum: usize) -> HeaderMap {
    let (digest, rows) = match raced.outcome {
        Outcome::Rows { digest, rows } => (digest.to_string(), rows.to_string()),
        Outcome::Refused(_) => (String::new(), String::new()),
    };
    // Said only where it matters: too few operators run this network for a quorum of different ones.
    let reduced = raced.operators < quorum.min(1 + raced.verifiers.len());
    let micros = |duration: Duration| duration.as_micros().to_string();
    [
        ("streamsync-query-id", raced.id.to_string()),
        ("streamsync-snapshot", raced.snapshot.to_string()),
        ("streamsync-winner", raced.winner.to_string()),
        ("streamsync-verifiers", listed(&raced.verifiers)),
        ("streamsync-dissenters", listed(&raced.dissenters)),
        ("streamsync-class", raced.class.to_string()),
        ("streamsync-operators", raced.operators.to_string()),
        ("streamsync-digest", digest),
        ("streamsync-rows", rows),
        ("streamsync-latency-us", micros(raced.took)),
        ("streamsync-price", raced.price.0.to_string()),
    ]
    .into_iter()
    .chain(reduced.then(|| ("streamsync-quorum", "reduced".to_owned())))
    .filter_map(|(name, value)| {
        Some((
            HeaderName::from_static(name),
            HeaderValue::try_from(value).ok()?,
        ))
    })
    .collect()
}

fn listed(workers: &[WorkerId]) -> String {
    workers
        .iter()
        .map(WorkerId::to_string)
        .collect::<Vec<_>>()
        .join(",")
}
