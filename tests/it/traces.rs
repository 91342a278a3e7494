//! Traces, from the client to the bucket.

use crate::{
    cluster::{PATIENCE, streamsync, text},
    network::Network,
};
use axum::{Router, body::Bytes, extract::State, routing::post};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};
use streamsync_testing::eventually;
use tokio::net::TcpListener;

/// One span, as the collector got it.
#[derive(Clone, Debug)]
struct Span {
    service: String,
    name: String,
    trace: Vec<u8>,
    id: Vec<u8>,
    parent: Vec<u8>,
}

type Spans = Arc<Mutex<Vec<Span>>>;

/// Stands in for a collector, which nothing here needs besides its address: takes what OpenTelemetry's
/// protocol over HTTP sends.
async fn collector() -> (String, Spans) {
    let spans = Spans::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
    let routes = Router::new()
        .route("/v1/traces", post(take))
        .with_state(Arc::clone(&spans));
    tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
    (url, spans)
}

async fn take(State(spans): State<Spans>, body: Bytes) {
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    for resource in request.resource_spans {
        let attributes = resource.resource.unwrap().attributes;
        let service = attributes
            .iter()
            .find(|attribute| attribute.key == "service.name");
        let service = format!("{:?}", service.unwrap().value);
        let service = service.split('"').nth(1).unwrap().to_owned();
        for span in resource
            .scope_spans
            .into_iter()
            .flat_map(|scope| scope.spans)
        {
            spans.lock().unwrap().push(Span {
                service: service.clone(),
                name: span.name,
                trace: span.trace_id,
                id: span.span_id,
                parent: span.parent_span_id,
            });
        }
    }
}

/// A query that its client traces is traced through the router and the workers to the bucket, as one tree;
/// one that its client does not trace leaves nothing.
pub async fn traced() {
    let (collector, spans) = collector().await;
    let mut network = Network::synthetic().await;
    let config = network.folder().join("traces.toml");
    let settings = format!("[telemetry]\ntraces = \"{collector}\"\ntrace_ratio = 0.0\n");
    std::fs::write(&config, settings).unwrap();
    let config = config.display().to_string();
    (0..3).for_each(|_| network.start_worker(&["--config", &config, "--disk", "0"]));
    network.start_router(&["--config", &config]).await;
    network.rows(0, "select count(*) from blocks").await;

    let mut client = streamsync();
    client
        .args([
            "query",
            "select count(*) as n from signatures",
            "--format",
            "json",
        ])
        .args(["--router", &network.routers[0].url])
        .env("STREAMSYNC_TELEMETRY__TRACES", &collector);
    let answer = client.output().await.unwrap();
    assert!(answer.status.success(), "{}", text(&answer.stderr));

    let has = |service: &str, name: &str, least: usize| {
        let spans = spans.lock().unwrap();
        let found = spans
            .iter()
            .filter(|span| span.service == service && span.name == name);
        found.count() >= least
    };
    eventually(PATIENCE, async || {
        has("streamsync-client", "client", 1)
            && has("streamsync-router", "query", 1)
            && has("streamsync-router", "ask", 3)
            && has("streamsync-worker", "execute", 3)
            && has("streamsync-worker", "duckdb", 2)
            && has("streamsync-worker", "bucket get", 1)
    })
    .await;
    let spans = spans.lock().unwrap().clone();
    let traces: BTreeSet<&Vec<u8>> = spans.iter().map(|span| &span.trace).collect();
    assert_eq!(
        traces.len(),
        1,
        "only what the client traces is traced: {spans:?}"
    );
    let by_id: BTreeMap<&Vec<u8>, &Span> = spans.iter().map(|span| (&span.id, span)).collect();
    let way = |span: &Span| {
        let mut names = vec![span.name.clone()];
        let mut above = by_id.get(&span.parent);
        while let Some(span) = above {
            names.push(span.name.clone());
            above = by_id.get(&span.parent);
        }
        names.reverse();
        names.join(" > ")
    };
    let ways: BTreeSet<String> = spans.iter().map(way).collect();
    assert!(
        ways.contains("client > query > ask > execute > duckdb"),
        "{ways:?}"
    );
    assert!(
        ways.iter()
            .any(|way| way.starts_with("client > query > ask > execute")
                && way.ends_with("bucket get")),
        "{ways:?}"
    );
    let response = network
        .ask(0, json!({ "sql": "select 1 as n" }))
        .await
        .unwrap();
    assert_eq!(response.status(), 200);
}
