//! A bucket that fails: a proxy before a real S3 server.

mod answer;
mod connection;
mod rule;

pub use rule::{Cut, Fault, Rule};

use answer::Body;
use connection::Connection;
use http_body_util::BodyExt;
use hyper::{Method, Request, Response, Uri, body::Incoming, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use object_store::path::Path;
use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use streamsync_core::config::BucketConfig;
use tokio::{net::TcpListener, task::JoinHandle};
use url::Url;

/// A proxy between StreamSync and a real S3 server that fails as [`Rule`]s say, and counts how often
/// it did. Ends when it is dropped.
///
/// Requests go on as they are, with their host, which their signature covers.
#[derive(Debug)]
pub struct S3Proxy {
    shared: Arc<Shared>,
    port: u16,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    to: String,
    client: Client<HttpConnector, Incoming>,
    requests: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    /// By the name of the fault.
    injected: BTreeMap<&'static str, usize>,
    /// The paths of the objects that were put, in order.
    put: Vec<String>,
}

impl S3Proxy {
    /// A proxy before the S3 server at an endpoint, without faults as yet.
    ///
    /// # Panics
    ///
    /// If there is no port for it.
    pub async fn start(endpoint: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port for a proxy");
        let port = listener
            .local_addr()
            .expect("the address of a proxy")
            .port();
        let shared = Arc::new(Shared {
            to: endpoint.trim_end_matches('/').to_owned(),
            client: Client::builder(TokioExecutor::new()).build_http(),
            requests: AtomicUsize::new(0),
            state: Mutex::default(),
        });
        let server = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self {
            shared,
            port,
            server,
        }
    }

    /// The endpoint to use instead of the server's own.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The same bucket, through the proxy.
    pub fn bucket(&self, bucket: &BucketConfig) -> BucketConfig {
        BucketConfig {
            endpoint: Some(self.url()),
            ..bucket.clone()
        }
    }

    /// Fails as the rule says from now on. Of several rules the first one that applies to a request
    /// is followed.
    pub fn inject(&self, rule: Rule) {
        let mut state = self.shared.state();
        let since = state.put.len();
        state.rules.push(rule.since(since));
    }

    /// Forgets all rules: nothing fails any more that has not begun to.
    pub fn heal(&self) {
        self.shared.state().rules.clear();
    }

    /// How many requests there were.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// How many faults were injected.
    pub fn injected(&self) -> usize {
        self.shared.state().injected.values().sum()
    }

    /// How many faults of each kind were injected, by [`Fault::name`].
    pub fn injected_by_kind(&self) -> BTreeMap<&'static str, usize> {
        self.shared.state().injected.clone()
    }
}

impl Drop for S3Proxy {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// What is asked for, as rules look at it.
struct Asked {
    method: Method,
    /// The path without escapes, without the leading `/`.
    path: String,
    /// The path and the query without escapes, for rules to look in.
    text: String,
    lists: bool,
    /// Whether the request makes an object, if it succeeds.
    puts: bool,
}

impl Asked {
    fn of(request: &Request<Incoming>) -> Self {
        let path = Path::from_url_path(request.uri().path())
            .map(String::from)
            .unwrap_or_default();
        let url = Url::parse(&format!("http://s3{}", request.uri())).ok();
        let query: Vec<(String, String)> = url
            .iter()
            .flat_map(|url| url.query_pairs().into_owned())
            .collect();
        let has = |name: &str| query.iter().any(|(key, _)| key == name);
        let mut text = path.clone();
        for (key, value) in &query {
            text.push_str(&format!("?{key}={value}"));
        }
        let method = request.method().clone();
        Self {
            lists: method == Method::GET && has("list-type"),
            puts: (method == Method::PUT && !has("partNumber"))
                || (method == Method::POST && has("uploadId")),
            method,
            path,
            text,
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, fault: &Fault) {
        *self.state().injected.entry(fault.name()).or_default() += 1;
    }

    /// The fault of a request, and how many objects had been put when its rule was made.
    fn fault(&self, asked: &Asked) -> Option<(Fault, usize)> {
        let mut state = self.state();
        let mut rules = state.rules.iter_mut();
        rules.find_map(|rule| rule.applies(asked))
    }

    async fn pass_on(
        &self,
        mut request: Request<Incoming>,
    ) -> Result<Response<Incoming>, io::Error> {
        let target = request
            .uri()
            .path_and_query()
            .map_or("/", |part| part.as_str());
        let uri: Uri = format!("{}{target}", self.to)
            .parse()
            .map_err(io::Error::other)?;
        *request.uri_mut() = uri;
        self.client.request(request).await.map_err(io::Error::other)
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
        resets: &AtomicBool,
    ) -> Result<Response<Body>, io::Error> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        let asked = Asked::of(&request);
        let fault = self.fault(&asked);
        match &fault {
            Some((fault @ Fault::Slow(delay), _)) => {
                self.count(fault);
                tokio::time::sleep(*delay).await;
            }
            Some((fault @ (Fault::InternalError | Fault::SlowDown), _)) => {
                self.count(fault);
                // As a server does, which reads what it refuses.
                request
                    .into_body()
                    .collect()
                    .await
                    .map_err(io::Error::other)?;
                return Ok(answer::refusal(fault));
            }
            _ => {}
        }
        let response = self.pass_on(request).await?;
        if asked.puts && response.status().is_success() {
            self.state().put.push(asked.path.clone());
        }
        match fault {
            Some((fault @ Fault::LostAnswer, _)) => {
                response
                    .into_body()
                    .collect()
                    .await
                    .map_err(io::Error::other)?;
                self.count(&fault);
                Err(io::Error::other("the answer is lost"))
            }
            Some((fault @ Fault::ErrorAfterwards, _)) => {
                response
                    .into_body()
                    .collect()
                    .await
                    .map_err(io::Error::other)?;
                self.count(&fault);
                Ok(answer::refusal(&fault))
            }
            Some((fault @ (Fault::Reset(_) | Fault::Truncated(_) | Fault::Shortened(_)), _)) => {
                let (response, was_cut) = answer::cut(response, &fault).await?;
                if was_cut {
                    self.count(&fault);
                    resets.store(matches!(fault, Fault::Reset(_)), Ordering::SeqCst);
                }
                Ok(response)
            }
            Some((fault @ Fault::StaleList, since)) => {
                let (before, after) = {
                    let state = self.state();
                    let (before, after) = state.put.split_at(since.min(state.put.len()));
                    (before.to_vec(), after.to_vec())
                };
                let new = |path: &str| {
                    let is = |put: &String| put == path;
                    after.iter().any(is) && !before.iter().any(is)
                };
                let (response, was_stale) = answer::without(response, &asked.path, new).await?;
                if was_stale {
                    self.count(&fault);
                }
                Ok(response)
            }
            _ => Ok(answer::whole(response)),
        }
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let (stream, resets) = Connection::new(stream);
            let service = service_fn(move |request| {
                let (shared, resets) = (Arc::clone(&shared), Arc::clone(&resets));
                async move { shared.answer(request, &resets).await }
            });
            // An error here is one that was injected, or a client that hung up.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

#[cfg(test)]
mod tests;
