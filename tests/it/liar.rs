//! A worker that lies.

use crate::cluster::{Cluster, PATIENCE};
use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch},
    ipc::writer::StreamWriter,
};
use axum::{Json, Router, extract::State, http::HeaderMap, routing::post};
use serde_json::{Value, json};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use streamsync_core::{
    ANSWER_HEADER, Amount, Digest, Identity, Outcome, Query, SignedAnswer,
    clock::{Clock, SystemClock},
    config::RedisConfig,
};
use streamsync_registry::{Heartbeat, Registry};
use streamsync_testing::eventually;
use tokio::net::TcpListener;

/// How a lie is told.
#[derive(Clone, Copy)]
enum Lie {
    /// Wrong rows, properly signed.
    WrongRows,
    /// Signed rows, but no Arrow.
    Garbage,
    /// Another key's signature.
    FalseSignature,
}

type Liar = Arc<(Identity, Lie)>;

/// Answers every query at once with the number 666. It stands in for a worker whose operator
/// changed the program, which the product has no switch for.
async fn lie(State(liar): State<Liar>, Json(query): Json<Query>) -> (HeaderMap, Vec<u8>) {
    let (identity, lie) = liar.as_ref();
    let column: ArrayRef = Arc::new(Int64Array::from(vec![666]));
    let batch = RecordBatch::try_from_iter([("answer", column)]).unwrap();
    let digest = Digest::of(&batch.schema(), std::slice::from_ref(&batch), query.ordered).unwrap();
    let outcome = Outcome::Rows { digest, rows: 1 };
    let mut signed = SignedAnswer::new(identity, query.id, query.snapshot, outcome);
    if matches!(lie, Lie::FalseSignature) {
        signed.signature = Identity::from_seed([99; 32]).sign(b"something else");
    }
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(&batch).unwrap();
    let body = match lie {
        Lie::Garbage => b"this is no arrow".to_vec(),
        _ => writer.into_inner().unwrap(),
    };
    let mut headers = HeaderMap::new();
    headers.insert(
        ANSWER_HEADER,
        serde_json::to_string(&signed).unwrap().parse().unwrap(),
    );
    (headers, body)
}

pub async fn named() {
    let cluster = Cluster::synthetic(4).await;
    let redis = RedisConfig {
        url: cluster.redis.url().parse().unwrap(),
        ..Default::default()
    };
    let registry = Registry::connect(&redis).await.unwrap();
    for (seed, how) in [
        (1, Lie::WrongRows),
        (2, Lie::Garbage),
        (3, Lie::FalseSignature),
    ] {
        let liar: Liar = Arc::new((Identity::from_seed([seed; 32]), how));
        let id = liar.0.id();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let routes = Router::new()
            .route("/v1/execute", post(lie))
            .with_state(Arc::clone(&liar));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await });
        let heartbeat = Heartbeat {
            worker: id,
            endpoint: format!("http://{address}").parse().unwrap(),
            version: "0.1.0".to_owned(),
            running: 0,
            waiting: 0,
            cached_bytes: 0,
            concurrency: 8,
            memory_bytes: 0,
            disk_bytes: 0,
            profile: Default::default(),
            grant: None,
            ask: Amount(1),
            versions: Default::default(),
            holdings: Default::default(),
            interval_ms: 10_000,
            sent_at_ms: SystemClock.unix_millis(),
        };
        registry.beat(&liar.0, &heartbeat).await.unwrap();
        cluster.await_workers(5).await;

        // The five of them race; the liar is the fastest, and is named when it was counted before
        // the honest ones agreed.
        let was_named = AtomicBool::new(false);
        eventually(PATIENCE, async || {
            let response = cluster.ask("select count(*) as answer from blocks").await;
            assert_eq!(response.status(), 200);
            let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
            assert_ne!(header("streamsync-winner"), id.to_string());
            assert!(!header("streamsync-verifiers").contains(&id.to_string()));
            let dissenters = header("streamsync-dissenters");
            was_named.fetch_or(dissenters.contains(&id.to_string()), Ordering::SeqCst);
            let body: Value = response.json().await.unwrap();
            assert_ne!(body["rows"], json!([{ "answer": 666 }]));
            was_named.load(Ordering::SeqCst)
        })
        .await;
        server.abort();
        registry.deregister(id).await.unwrap();
        cluster.await_workers(4).await;
    }
}
