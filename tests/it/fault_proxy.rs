//! A bucket that fails: a proxy before a real S3 server.

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use reqwest::Client;
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};
use tokio::{net::TcpListener, task::JoinHandle};

/// Passes requests on. While it is told to fail, every fifth is answered with `503 Slow Down`, and
/// of these every tenth not at all.
pub struct FaultProxy {
    state: Arc<Faults>,
    port: u16,
    server: JoinHandle<()>,
}

struct Faults {
    to: String,
    client: Client,
    failing: AtomicBool,
    requests: AtomicUsize,
    failed: AtomicUsize,
}

impl FaultProxy {
    pub async fn start(to: &str) -> Self {
        let state = Arc::new(Faults {
            to: to.to_owned(),
            client: Client::new(),
            failing: AtomicBool::new(false),
            requests: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let routes = Router::new()
            .fallback(pass_on)
            .with_state(Arc::clone(&state));
        let server = tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        Self {
            state,
            port,
            server,
        }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn fail(&self, fail: bool) {
        self.state.failing.store(fail, Ordering::Relaxed);
    }

    /// How many requests have failed.
    pub fn failed(&self) -> usize {
        self.state.failed.load(Ordering::Relaxed)
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn pass_on(State(state): State<Arc<Faults>>, request: Request) -> Response {
    if state.failing.load(Ordering::Relaxed) {
        let number = state.requests.fetch_add(1, Ordering::Relaxed);
        if number.is_multiple_of(5) {
            state.failed.fetch_add(1, Ordering::Relaxed);
            if number.is_multiple_of(50) {
                std::future::pending::<()>().await;
            }
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    }
    let (parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    let body = to_bytes(body, usize::MAX).await.unwrap();
    // The signature covers the host that the client named, so the headers stay as they are.
    let sent = state
        .client
        .request(parts.method, format!("{}{path}", state.to))
        .headers(parts.headers)
        .body(body)
        .send()
        .await;
    match sent {
        Ok(answer) => {
            let mut response = Response::builder().status(answer.status());
            for (name, value) in answer.headers() {
                if name != "transfer-encoding" {
                    response = response.header(name, value);
                }
            }
            let head = response.body(()).unwrap();
            let bytes = answer.bytes().await.unwrap_or_default();
            head.map(|()| Body::from(bytes))
        }
        Err(_) => StatusCode::BAD_GATEWAY.into_response(),
    }
}
