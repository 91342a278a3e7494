//! A client: one signed request, and what may come of it.

use crate::{
    ledger::Entry,
    network::Network,
    process::PATIENCE,
    schedule::{Target, seconds},
};
use reqwest::{Response, header::HeaderMap};
use serde_json::Value;
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use streamsync_access::Message;
use streamsync_core::clock::{Clock, SystemClock};

/// How much longer than its deadline a request may take: twice as long as a router is stalled for, and
/// as much again for a busy machine.
pub const SLACK: Duration = Duration::from_secs(12);
/// For how long after an outage its consequences are excused: a router that starts on a busy machine has to
/// read the logs of all tables first.
const AFTERMATH: Duration = Duration::from_secs(30);

/// What came back.
pub enum Outcome {
    Answered {
        query: String,
        headers: HeaderMap,
        body: Value,
    },
    Refused {
        /// The name after `/problems/`.
        kind: String,
        retry_after: Option<Duration>,
    },
    /// The router was killed, or not there.
    CutOff,
}

/// Clients of the network. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    network: Arc<Network>,
    http: reqwest::Client,
}

/// A nonce that was not used before.
fn nonce() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let (process, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    format!("chaos-{process}-{number:08}")
}

impl Client {
    pub fn new(network: Arc<Network>) -> Self {
        let http = reqwest::Client::builder().no_proxy().build().unwrap();
        Self { network, http }
    }

    /// Sends a signed request.
    async fn send(
        &self,
        client: usize,
        router: usize,
        target: &str,
        body: Option<&Value>,
        within: Duration,
    ) -> reqwest::Result<Response> {
        let key = self.network.accounts.key(client);
        let url = &self.network.urls[router];
        let bytes = body.map(|body| serde_json::to_vec(body).unwrap());
        let bytes = bytes.unwrap_or_default();
        let message = Message {
            method: if body.is_some() { "POST" } else { "GET" },
            authority: url.trim_start_matches("http://"),
            path: target,
            query: None,
            headers: &HeaderMap::new(),
        };
        let now_s = SystemClock.unix_millis() / 1_000;
        let signed = key.sign(message, &bytes, now_s, &nonce());
        let request = match body {
            Some(_) => self.http.post(format!("{url}{target}")).body(bytes),
            None => self.http.get(format!("{url}{target}")),
        };
        request.headers(signed).timeout(within).send().await
    }

    /// What a router says of itself; it has to be well.
    pub async fn get(&self, router: usize, target: &str) -> Option<Value> {
        let response = self.send(0, router, target, None, PATIENCE).await.ok()?;
        response.json().await.ok()
    }

    /// Asks, and sees that what comes is an answer or a clear error, in time.
    pub async fn ask(&self, client: usize, router: usize, body: &Value) -> Outcome {
        let deadline = Duration::from_millis(body["deadline_ms"].as_u64().unwrap());
        let began = SystemClock.monotonic();
        let target = "/v1/query";
        let within = deadline + SLACK;
        let response = match self.send(client, router, target, Some(body), within).await {
            Ok(response) => response,
            Err(error) => return self.broken(router, began, &error),
        };
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let header = |name: &str| {
            let value = headers.get(name)?.to_str().ok()?;
            Some(value.to_owned())
        };
        let query = header("streamsync-query-id");
        if status == 200 {
            // Noted before the body has come: the client has seen the first byte.
            let entry = (|| {
                Some(Entry {
                    router,
                    client,
                    number: header("streamsync-receipt")?.parse().ok()?,
                    charged: header("streamsync-charged")?.parse().ok()?,
                    snapshot: header("streamsync-snapshot")?,
                    digest: header("streamsync-digest")?,
                    rows: header("streamsync-rows")?.parse().ok()?,
                })
            })();
            match (&query, entry) {
                (Some(query), Some(entry)) => {
                    if !self.network.ledger.note(query.clone(), entry) {
                        self.violated(format!("two answers to query {query}"));
                    }
                }
                _ => self.violated(format!("an answer lacks headers: {headers:?}")),
            }
        }
        let bytes = match response.bytes().await {
            Ok(bytes) => bytes,
            Err(error) => return self.broken(router, began, &error),
        };
        let Ok(body) = serde_json::from_slice::<Value>(&bytes) else {
            let text = String::from_utf8_lossy(&bytes);
            self.violated(format!("{status} with what is no JSON: {text}"));
            return Outcome::CutOff;
        };
        if status == 200 {
            return Outcome::Answered {
                query: query.unwrap_or_default(),
                headers,
                body,
            };
        }
        let kind = body["type"].as_str().unwrap_or_default();
        let kind = kind.strip_prefix("/problems/").unwrap_or_default();
        let is_problem = header("content-type").as_deref() == Some("application/problem+json")
            && body["status"] == status
            && body["detail"].is_string();
        if kind.is_empty() || !is_problem {
            self.violated(format!(
                "{status} is no problem details: {headers:?} {body}"
            ));
        }
        let retry_after = header("retry-after").and_then(|seconds| seconds.parse().ok());
        if status == 503 && retry_after.is_none() {
            self.violated(format!("a 503 without Retry-After: {body}"));
        }
        if !self.is_excused(router, kind, began) {
            self.violated(format!(
                "a client of {} was refused, {} after it asked at {}: {body}",
                Target::Router(router),
                seconds(SystemClock.monotonic() - began),
                seconds(began),
            ));
        }
        Outcome::Refused {
            kind: kind.to_owned(),
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    /// Whether an error may come at all, in what goes on at the moment. What a client is to blame for
    /// itself is for who asks to judge.
    fn is_excused(&self, router: usize, kind: &str, began: Duration) -> bool {
        let now = SystemClock.monotonic();
        let out = |target| {
            let outages = &self.network.outages;
            outages.touched(target, began, now, AFTERMATH)
        };
        match kind {
            // An accident that nothing excuses.
            "internal" | "receipts" | "replayed" | "signature-mismatch" | "other-master" => false,
            // Keys and credit are gone with what Redis held.
            "unknown-key" | "key-revoked" | "credit" => out(Target::Registry),
            // A router that was started just now has read nothing yet.
            "lake" | "not-ready" => out(Target::Bucket) || out(Target::Router(router)),
            "registry" => out(Target::Redis) || out(Target::Router(router)),
            _ => true,
        }
    }

    /// No answer at all: for want of a router, or else against the promises.
    fn broken(&self, router: usize, began: Duration, error: &reqwest::Error) -> Outcome {
        let (now, target) = (SystemClock.monotonic(), Target::Router(router));
        let outages = &self.network.outages;
        let took = seconds(now - began);
        if error.is_timeout() {
            self.violated(format!(
                "{target} left a client without an answer for {took}"
            ));
        } else if !outages.touched(target, began, now, Duration::from_secs(1)) {
            self.violated(format!(
                "{target} broke a connection off after {took}, and ran all the time: {error:?}"
            ));
        }
        Outcome::CutOff
    }

    fn violated(&self, what: String) {
        self.network.violations.note(what);
    }
}
