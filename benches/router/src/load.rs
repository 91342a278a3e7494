//! A load: queries at random times, whether or not those before have been answered.

use crate::Fallible;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reqwest::{Client, Method, header::HeaderMap};
use serde_json::Value;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use streamsync_access::{Message, SigningKey};
use streamsync_core::clock::{Clock, SystemClock};
use url::Url;

/// A request, prepared: where to, and what.
pub struct Request {
    url: Url,
    body: Vec<u8>,
}

impl Request {
    pub fn get(url: String) -> Self {
        Self::new(url, Vec::new())
    }

    pub fn post(url: String, body: &Value) -> Self {
        Self::new(url, body.to_string().into_bytes())
    }

    fn new(url: String, body: Vec<u8>) -> Self {
        #[allow(clippy::expect_used)]
        let url = url.parse().expect("the benchmark makes URLs");
        Self { url, body }
    }

    /// Sends it, signed if there is a key.
    pub async fn send(
        &self,
        client: &Client,
        key: Option<&SigningKey>,
    ) -> reqwest::Result<reqwest::Response> {
        let method = if self.body.is_empty() {
            Method::GET
        } else {
            Method::POST
        };
        let mut request = client.request(method.clone(), self.url.clone());
        if let Some(key) = key {
            static NEXT: AtomicU64 = AtomicU64::new(0);
            let nonce = format!("{:016}", NEXT.fetch_add(1, Ordering::Relaxed));
            let message = Message {
                method: method.as_str(),
                authority: self.url.authority(),
                path: self.url.path(),
                query: None,
                headers: &HeaderMap::new(),
            };
            let now = SystemClock.unix_millis() / 1_000;
            request = request.headers(key.sign(message, &self.body, now, &nonce));
        }
        if !self.body.is_empty() {
            let json = "application/json";
            request = request.header("content-type", json).body(self.body.clone());
        }
        request.send().await
    }
}

/// What came of a load.
#[derive(Clone, Debug, Default)]
pub struct Latencies {
    /// From when a query is sent to its last byte, sorted. That the load generator itself is late,
    /// because it shares the cores, is not in it.
    pub took: Vec<Duration>,
    pub failed: usize,
}

impl Latencies {
    pub fn at(&self, share: f64) -> Duration {
        let place = (self.took.len() as f64 * share) as usize;
        self.took.get(place).copied().unwrap_or_default()
    }
}

/// Asks `rate` times a second, at the times of a Poisson process.
pub async fn run(
    client: &Client,
    key: Option<SigningKey>,
    requests: Arc<Vec<Request>>,
    rate: f64,
    seconds: f64,
    seed: u64,
) -> Fallible<Latencies> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let latencies = Arc::new(Mutex::new(Latencies::default()));
    let began = SystemClock.monotonic();
    let mut at = Duration::ZERO;
    let mut tasks = tokio::task::JoinSet::new();
    while at.as_secs_f64() < seconds {
        at += Duration::from_secs_f64(-(1.0 - random.random::<f64>()).ln() / rate);
        let due = began + at;
        let now = SystemClock.monotonic();
        if due > now {
            tokio::time::sleep(due - now).await;
        }
        let number = random.random_range(0..requests.len());
        let (client, key, requests) = (client.clone(), key.clone(), Arc::clone(&requests));
        let latencies = Arc::clone(&latencies);
        tasks.spawn(async move {
            let request = &requests[number];
            let sent = SystemClock.monotonic();
            let answered = async {
                let response = request.send(&client, key.as_ref()).await?;
                let response = response.error_for_status()?;
                response.bytes().await
            };
            let answered = answered.await.is_ok();
            let took = SystemClock.monotonic() - sent;
            let mut latencies = latencies.lock().unwrap_or_else(PoisonError::into_inner);
            if answered {
                latencies.took.push(took);
            } else {
                latencies.failed += 1;
            }
        });
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
    let mut latencies = latencies
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    latencies.took.sort_unstable();
    Ok(latencies)
}

/// Asks as fast as so many clients can. Returns the answers a second.
pub async fn ceiling(
    client: &Client,
    key: Option<&SigningKey>,
    requests: &[Request],
    clients: usize,
    seconds: f64,
) -> Fallible<f64> {
    let began = SystemClock.monotonic();
    let ask = async |first: usize| {
        let mut answered = 0_u64;
        for request in requests.iter().cycle().skip(first * 7) {
            if (SystemClock.monotonic() - began).as_secs_f64() >= seconds {
                break;
            }
            let sent = request.send(client, key).await;
            if let Ok(response) = sent
                && response.status().is_success()
                && response.bytes().await.is_ok()
            {
                answered += 1;
            }
        }
        answered
    };
    let answered = futures::future::join_all((0..clients).map(ask)).await;
    let took = (SystemClock.monotonic() - began).as_secs_f64();
    Ok(answered.iter().sum::<u64>() as f64 / took)
}
