//! A stand-in for a Solana JSON-RPC endpoint.

use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};
use tokio_util::task::AbortOnDropHandle;
use url::Url;

/// What the stand-in answers to one request instead of the truth.
#[derive(Clone, Debug)]
pub enum Trouble {
    /// Status 429, with the seconds of `Retry-After`.
    TooMany(u64),
    /// A status.
    Status(u16),
    /// A JSON-RPC error.
    Error(i64),
    /// Something that is not JSON.
    Garbage,
    /// The connection breaks off within the answer.
    CutShort,
}

/// A stand-in for a JSON-RPC endpoint: an HTTP server in this process that serves recorded blocks
/// and, before it answers rightly, whatever trouble it is told to make. It is no Solana node.
pub struct Endpoint {
    shared: Arc<Shared>,
    url: Url,
    _server: AbortOnDropHandle<()>,
}

struct Shared {
    blocks: BTreeMap<u64, Value>,
    newest: u64,
    first_available: u64,
    /// The trouble to come, by method and slot.
    trouble: Mutex<BTreeMap<(String, u64), VecDeque<Trouble>>>,
    requests: Mutex<Vec<(String, u64)>>,
}

impl Endpoint {
    pub async fn start(blocks: BTreeMap<u64, Value>, newest: u64, first_available: u64) -> Self {
        let shared = Arc::new(Shared {
            blocks,
            newest,
            first_available,
            trouble: Mutex::default(),
            requests: Mutex::default(),
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let app = Router::new().fallback(answer).with_state(shared.clone());
        let server = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self {
            shared,
            url: format!("http://{address}/path-KEY?api-key=SECRET")
                .parse()
                .unwrap(),
            _server: AbortOnDropHandle::new(server),
        }
    }

    pub fn url(&self) -> Url {
        self.url.clone()
    }

    /// Makes trouble for the next requests of a method for a slot (0 where it has none).
    pub fn trouble(&self, method: &str, slot: u64, trouble: impl IntoIterator<Item = Trouble>) {
        let mut all = self.shared.trouble.lock().unwrap();
        all.entry((method.to_owned(), slot))
            .or_default()
            .extend(trouble);
    }

    /// How often a method was called for a slot.
    pub fn requests(&self, method: &str, slot: u64) -> usize {
        let requests = self.shared.requests.lock().unwrap();
        let wanted = (method.to_owned(), slot);
        requests
            .iter()
            .filter(|request| **request == wanted)
            .count()
    }
}

async fn answer(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Response {
    let request: Value = serde_json::from_str(&body).unwrap();
    let method = request["method"].as_str().unwrap();
    let params = &request["params"];
    let slot = match method {
        "getBlock" => params[0].as_u64().unwrap(),
        _ => 0,
    };
    shared
        .requests
        .lock()
        .unwrap()
        .push((method.to_owned(), slot));
    let trouble = {
        let mut all = shared.trouble.lock().unwrap();
        all.get_mut(&(method.to_owned(), slot))
            .and_then(VecDeque::pop_front)
    };
    if let Some(trouble) = trouble {
        return make(trouble);
    }
    let result = match method {
        "getSlot" => json!(shared.newest),
        "getFirstAvailableBlock" => json!(shared.first_available),
        "getBlocks" => {
            let (first, last) = (params[0].as_u64().unwrap(), params[1].as_u64().unwrap());
            json!(
                shared
                    .blocks
                    .range(first..=last)
                    .map(|(slot, _)| slot)
                    .collect::<Vec<_>>()
            )
        }
        "getBlock" => {
            assert_eq!(params[1]["encoding"], "base64");
            assert_eq!(params[1]["maxSupportedTransactionVersion"], 0);
            assert_eq!(params[1]["transactionDetails"], "full");
            match shared.blocks.get(&slot) {
                Some(block) => block.clone(),
                None => return error(-32007),
            }
        }
        _ => return error(-32601),
    };
    let body = json!({"jsonrpc": "2.0", "id": 1, "result": result}).to_string();
    let packs = headers
        .get(header::ACCEPT_ENCODING)
        .is_some_and(|encoding| encoding == "gzip");
    // Some answers come packed, some plain, as it is with real endpoints.
    if packs && slot.is_multiple_of(2) {
        let packed = flate2::bufread::GzEncoder::new(body.as_bytes(), flate2::Compression::fast());
        let packed = std::io::Read::bytes(packed)
            .collect::<Result<Vec<_>, _>>()
            .unwrap();
        return ([(header::CONTENT_ENCODING, "gzip")], packed).into_response();
    }
    body.into_response()
}

fn make(trouble: Trouble) -> Response {
    match trouble {
        Trouble::TooMany(seconds) => {
            let wait = [(header::RETRY_AFTER, seconds.to_string())];
            (StatusCode::TOO_MANY_REQUESTS, wait, "slow down").into_response()
        }
        Trouble::Status(status) => {
            (StatusCode::from_u16(status).unwrap(), "trouble").into_response()
        }
        Trouble::Error(code) => error(code),
        Trouble::Garbage => "<html>a proxy's page</html>".into_response(),
        Trouble::CutShort => {
            let chunks = [
                Ok("{\"jsonrpc\":"),
                Err(std::io::Error::other("broken off")),
            ];
            axum::body::Body::from_stream(futures::stream::iter(chunks)).into_response()
        }
    }
}

fn error(code: i64) -> Response {
    let error = json!({"code": code, "message": "the stand-in says no"});
    json!({"jsonrpc": "2.0", "id": 1, "error": error})
        .to_string()
        .into_response()
}
