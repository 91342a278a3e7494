//! A load: queries at random times, whether or not those before have been answered.

use crate::Fallible;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use reqwest::Client;
use serde_json::Value;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use streamsync_core::clock::{Clock, SystemClock};

/// A request, prepared: where to, and what.
pub struct Request {
    pub url: String,
    pub body: Value,
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
        let (client, requests) = (client.clone(), Arc::clone(&requests));
        let latencies = Arc::clone(&latencies);
        tasks.spawn(async move {
            let request = &requests[number];
            let sent = SystemClock.monotonic();
            let answered = async {
                let response = client.post(&request.url).json(&request.body).send().await?;
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
            let sent = client.post(&request.url).json(&request.body).send().await;
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
