//! `POST /v1/query` and `POST /v1/quote`.

use super::{
    access::{self, Allowed},
    error::Failure,
    format::Format,
};
use crate::{Ask, Bill, Raced, Router, nonces::Claimed, stage::Stages};
use axum::{
    Json,
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use streamsync_core::{Outcome, QueryId, WorkerId};
use tracing::Instrument;

pub(super) async fn query(
    State(router): State<Router>,
    mut allowed: Allowed<access::Query>,
) -> Response {
    let id = allowed.id;
    let answered = answer(&router, id, &mut allowed).await;
    // Whose doing it was: who watches the network is woken by what is ours only.
    let (result, problem) = match &answered {
        Ok(_) => ("answered", "none".to_owned()),
        Err(failure) => (failure.result(), failure.kind().to_owned()),
    };
    metrics::counter!("streamsync_router_queries_total", "result" => result, "problem" => problem)
        .increment(1);
    let mut response = answered.unwrap_or_else(|failure| failure.about(id).into_response());
    allowed.tell_limits(&mut response);
    response
}

async fn answer(
    router: &Router,
    id: QueryId,
    allowed: &mut Allowed<access::Query>,
) -> Result<Response, Failure> {
    let format = Format::accepted(&allowed.headers)?;
    let ask: Ask = allowed.json()?;
    let claimed = std::mem::replace(&mut allowed.caller.claimed, Claimed::needless());
    let named = allowed.caller.named.as_ref();
    // The workers' lines about the query carry the same field; of this level, so that it is there whatever
    // is logged.
    let span = tracing::error_span!("query", query = %id);
    streamsync_telemetry::continue_trace(&span, &allowed.headers);
    let racing = router
        .query(id, allowed.client(), named, ask)
        .instrument(span);
    let racing = async { racing.await.map_err(Failure::from) };
    let new = async { claimed.prove_new().await.map_err(Failure::from) };
    let (mut raced, ()) = futures::future::try_join(racing, new).await?;
    metrics::histogram!("streamsync_router_query_seconds").record(raced.took.as_secs_f64());
    let mut stages = Stages::begin(Arc::clone(router.clock()));
    let rows = raced.rows.clone();
    let body = if rows.bytes() <= ENCODED_AT_ONCE {
        format.encode(&rows)?
    } else {
        // Encoding a large answer must not hold up others.
        let encoded = tokio::task::spawn_blocking(move || format.encode(&rows)).await;
        encoded.map_err(|error| Failure::internal(&error))??
    };
    stages.end("encode");
    let took = router
        .clock()
        .monotonic()
        .saturating_sub(allowed.caller.received_at);
    let bill = router.settle(&mut raced, named, took)?;
    stages.end("receipt");
    let headers = described(&raced, bill, took, router.race_config().quorum());
    if let Outcome::Rows { rows, .. } = raced.outcome {
        allowed.caller.admitted.answered(rows, body.len() as u64);
    }
    let content_type = HeaderValue::from_static(format.media_type());
    let content_type = (axum::http::header::CONTENT_TYPE, content_type);
    Ok((headers, [content_type], body).into_response())
}

/// Answers of up to so many bytes are encoded on the thread that serves the request: handing them
/// over to another takes longer.
const ENCODED_AT_ONCE: usize = 64 << 10;

pub(super) async fn quote(
    State(router): State<Router>,
    allowed: Allowed<access::Reads>,
) -> Result<Response, Failure> {
    let quote = router.quote(allowed.json()?).await?;
    let price = quote.price;
    let read: u64 = quote.partitions.iter().map(|read| read.bytes).sum();
    let body: Value = json!({
        "class": quote.class,
        "price": price.price,
        "base": price.base,
        "for_bytes": price.for_bytes,
        "multiplier": price.multiplier as f64 / 1e6,
        "asked": price.asked,
        "promised": quote.promised,
        "snapshot": quote.snapshot.to_string(),
        "levels": quote.levels,
        "bytes": read,
        "files": quote.partitions.iter().map(|read| read.files).sum::<u64>(),
        "partitions": quote.partitions,
    });
    let mut response = Json(body).into_response();
    allowed.tell_limits(&mut response);
    Ok(response)
}

fn described(raced: &Raced, bill: Bill, took: Duration, quorum: usize) -> HeaderMap {
    let (digest, rows) = match raced.outcome {
        Outcome::Rows { digest, rows } => (digest.to_string(), rows.to_string()),
        Outcome::Refused(_) => (String::new(), String::new()),
    };
    // Said only where it matters: too few operators run this network for a quorum of different ones.
    let reduced = raced.operators < quorum.min(1 + raced.verifiers.len());
    let reduced = reduced.then(|| ("streamsync-quorum", "reduced".to_owned()));
    let levels = raced.levels.iter();
    let levels: Vec<String> = levels
        .map(|(rollup, level)| format!("{rollup}={level}"))
        .collect();
    let levels = (!levels.is_empty()).then(|| ("streamsync-level", levels.join(",")));
    let receipt = bill
        .receipt
        .map(|number| ("streamsync-receipt", number.to_string()));
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
        ("streamsync-latency-us", took.as_micros().to_string()),
        ("streamsync-price", raced.price.price.0.to_string()),
        ("streamsync-charged", bill.charged.0.to_string()),
        ("streamsync-promise", bill.promise.name().to_owned()),
    ]
    .into_iter()
    .chain(reduced)
    .chain(levels)
    .chain(receipt)
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
