//! Workers that do what no honest one does.

use arrow::{
    array::{ArrayRef, Int64Array, RecordBatch},
    ipc::writer::StreamWriter,
};
use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::post,
};
use futures::StreamExt;
use reqwest::Client;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use streamsync_core::{
    ANSWER_HEADER, Amount, Digest, Identity, Outcome, Query, SignedAnswer, Snapshot, WorkerId,
    clock::{Clock, SystemClock},
};
use streamsync_registry::{Heartbeat, Registry};
use tokio::{net::TcpListener, task::JoinHandle};

/// What it does.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Trick {
    /// Wrong rows, properly signed.
    WrongRows,
    /// Signed rows, but no Arrow.
    Garbage,
    /// Another key's signature.
    FalseSignature,
    /// Wrong rows of an older snapshot, and it says so.
    StaleSnapshot,
    /// An honest worker's answer, signature and all.
    Replay,
    /// What an honest worker signed, signed by itself; and then it stops in the middle of the rows.
    Stall,
    /// What an honest worker signed, signed by itself, over other rows.
    Switch,
    /// It takes the query and never answers.
    Hang,
}

impl Trick {
    pub const ALL: [Self; 8] = [
        Self::WrongRows,
        Self::Garbage,
        Self::FalseSignature,
        Self::StaleSnapshot,
        Self::Replay,
        Self::Stall,
        Self::Switch,
        Self::Hang,
    ];

    /// Whether the router can tell that it is no mishap.
    pub fn is_dishonest(self) -> bool {
        !matches!(self, Self::Stall | Self::Hang)
    }
}

struct Inner {
    identity: Identity,
    trick: Trick,
    /// Where an honest worker is.
    honest: String,
    client: Client,
    /// What the honest one signed and sent, by query and snapshot: the second time this one is
    /// faster.
    overheard: Mutex<HashMap<String, (Outcome, Vec<u8>)>>,
}

/// An adversary that serves until it is dropped. It stands in for a worker whose operator changed
/// the program, which the product has no switch for.
pub struct Adversary {
    inner: Arc<Inner>,
    endpoint: String,
    server: JoinHandle<()>,
}

impl Adversary {
    /// Serves, and registers itself as a worker with every advantage.
    pub async fn start(seed: [u8; 32], trick: Trick, honest: &str, registry: &Registry) -> Self {
        let client = Client::builder().http2_prior_knowledge().build().unwrap();
        let inner = Arc::new(Inner {
            identity: Identity::from_seed(seed),
            trick,
            honest: honest.to_owned(),
            client,
            overheard: Mutex::default(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let routes = Router::new()
            .route("/v1/execute", post(execute))
            .with_state(Arc::clone(&inner));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let adversary = Self {
            inner,
            endpoint,
            server,
        };
        adversary.beat(registry).await;
        adversary
    }

    /// Says that it lives; until it is forgotten or found out, or for ten seconds at least.
    pub async fn beat(&self, registry: &Registry) {
        let heartbeat = Heartbeat {
            worker: self.id(),
            endpoint: self.endpoint.parse().unwrap(),
            version: "0.1.0".to_owned(),
            protocols: Default::default(),
            running: 0,
            waiting: 0,
            cached_bytes: 0,
            concurrency: 64,
            memory_bytes: 64 << 30,
            disk_bytes: 0,
            profile: Default::default(),
            grant: None,
            ask: Amount(1_000),
            versions: Default::default(),
            holdings: Default::default(),
            interval_ms: 10_000,
            sent_at_ms: SystemClock.unix_millis(),
        };
        // Redis may be away at the moment.
        let _ = registry.beat(&self.inner.identity, &heartbeat).await;
    }

    pub fn id(&self) -> WorkerId {
        self.inner.identity.id()
    }
}

impl Drop for Adversary {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn wrong_rows() -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![666]));
    RecordBatch::try_from_iter([("answer", column)]).unwrap()
}

fn ipc(batch: &RecordBatch) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

fn wrong_outcome(query: &Query) -> Outcome {
    let batch = wrong_rows();
    let digest = Digest::of(&batch.schema(), std::slice::from_ref(&batch), query.ordered);
    Outcome::Rows {
        digest: digest.unwrap(),
        rows: 1,
    }
}

fn answer(signed: &SignedAnswer, body: impl Into<Body>) -> Response {
    let mut headers = HeaderMap::new();
    let json = serde_json::to_string(signed).unwrap();
    headers.insert(ANSWER_HEADER, json.parse().unwrap());
    (headers, body.into()).into_response()
}

async fn execute(State(inner): State<Arc<Inner>>, Json(query): Json<Query>) -> Response {
    let sign = |snapshot: Snapshot, outcome| {
        SignedAnswer::new(&inner.identity, query.id, snapshot, outcome)
    };
    let wrong = || sign(query.snapshot.clone(), wrong_outcome(&query));
    match inner.trick {
        Trick::WrongRows => answer(&wrong(), ipc(&wrong_rows())),
        Trick::Garbage => answer(&wrong(), "this is no arrow"),
        Trick::FalseSignature => {
            let signature = Identity::from_seed([99; 32]).sign(b"something else");
            let signed = SignedAnswer {
                signature,
                ..wrong()
            };
            answer(&signed, ipc(&wrong_rows()))
        }
        Trick::StaleSnapshot => {
            let older = query.snapshot.iter();
            let older = older.map(|(table, version)| (table.clone(), version.wrapping_sub(1)));
            let mut older: Snapshot = older.collect();
            if older.is_empty() {
                older = "blocks@0".parse().unwrap();
            }
            answer(&sign(older, wrong_outcome(&query)), ipc(&wrong_rows()))
        }
        Trick::Hang => std::future::pending().await,
        Trick::Replay => match ask_honest(&inner, &query).await {
            Some((theirs, body)) => answer(&theirs, body),
            None => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        },
        Trick::Stall | Trick::Switch => {
            let Some((outcome, mut body)) = overhear(&inner, &query).await else {
                return StatusCode::SERVICE_UNAVAILABLE.into_response();
            };
            let own = sign(query.snapshot.clone(), outcome);
            if inner.trick == Trick::Switch {
                return answer(&own, ipc(&wrong_rows()));
            }
            body.truncate(body.len() / 2);
            let half = futures::stream::iter([Ok::<_, std::io::Error>(body)]);
            let then_nothing = half.chain(futures::stream::pending());
            answer(&own, Body::from_stream(then_nothing))
        }
    }
}

async fn overhear(inner: &Inner, query: &Query) -> Option<(Outcome, Vec<u8>)> {
    let key = format!("{} {:?} {}", query.sql, query.parameters, query.snapshot);
    if let Some(known) = inner.overheard.lock().unwrap().get(&key) {
        return Some(known.clone());
    }
    let (signed, body) = ask_honest(inner, query).await?;
    let overheard = (signed.outcome, body);
    inner
        .overheard
        .lock()
        .unwrap()
        .insert(key, overheard.clone());
    Some(overheard)
}

async fn ask_honest(inner: &Inner, query: &Query) -> Option<(SignedAnswer, Vec<u8>)> {
    let request = inner.client.post(format!("{}/v1/execute", inner.honest));
    let response = request.json(query).send().await.ok()?;
    let signed = serde_json::from_slice(response.headers().get(ANSWER_HEADER)?.as_bytes()).ok()?;
    Some((signed, response.bytes().await.ok()?.to_vec()))
}
