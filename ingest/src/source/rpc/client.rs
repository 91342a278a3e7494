//! Asking an endpoint, again and again if need be.

use super::call::{self, CallError, Setback};
use bytes::{Bytes, BytesMut};
use rand::{Rng, RngCore};
use reqwest::{
    StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER},
};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use std::{
    io::Read,
    sync::{Mutex, PoisonError},
    time::Duration,
};
use url::Url;

/// The most bytes of an answer, packed or not.
const MAX_ANSWER: u64 = crate::MAX_BLOCK_BYTES;

/// The longest that an endpoint may make us wait.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(120);

/// How to ask an endpoint.
#[derive(Clone)]
pub struct RpcOptions {
    /// The endpoint. Its path, query and password are never shown.
    pub url: Url,
    /// How many requests are under way at the same time.
    pub concurrency: usize,
    /// How long one request may take.
    pub timeout: Duration,
    /// How often a request is tried.
    pub attempts: u32,
    /// How long to wait before the second try, at most; each further wait doubles.
    pub first_wait: Duration,
    /// The longest wait between two tries.
    pub longest_wait: Duration,
}

impl RpcOptions {
    /// The defaults for that endpoint: 4 requests at a time, 30 seconds for each, 8 tries with
    /// waits from half a second up to 20 seconds.
    pub fn new(url: Url) -> Self {
        Self {
            url,
            concurrency: 4,
            timeout: Duration::from_secs(30),
            attempts: 8,
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(20),
        }
    }
}

pub(super) struct Client {
    http: reqwest::Client,
    options: RpcOptions,
    origin: String,
    randomness: Mutex<Box<dyn RngCore + Send>>,
}

#[derive(Deserialize)]
struct Answer<T> {
    result: T,
}

impl Client {
    pub(super) fn new(
        options: RpcOptions,
        randomness: Box<dyn RngCore + Send>,
    ) -> Result<Self, CallError> {
        let origin = origin(&options.url);
        let http = reqwest::Client::builder()
            .timeout(options.timeout)
            .connect_timeout(options.timeout.min(Duration::from_secs(10)))
            .build()
            .map_err(|source| CallError::Client {
                origin: origin.clone(),
                source: source.without_url(),
            })?;
        Ok(Self {
            http,
            options,
            origin,
            randomness: Mutex::new(randomness),
        })
    }

    /// The endpoint, without what must not be seen.
    pub(super) fn origin(&self) -> &str {
        &self.origin
    }

    /// The result of a method.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<T, CallError> {
        let answer = self.raw(method, params).await?;
        let answer: Answer<T> =
            serde_json::from_slice(&answer).map_err(|source| CallError::Garbage {
                origin: self.origin.clone(),
                method,
                source,
            })?;
        Ok(answer.result)
    }

    /// The whole answer of a method, known to be no error.
    pub(super) async fn raw(
        &self,
        method: &'static str,
        params: Value,
    ) -> Result<Bytes, CallError> {
        let request = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params});
        let request = Bytes::from(request.to_string());
        let mut attempt = 1;
        loop {
            let setback = match self.attempt(method, request.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(setback) => setback,
            };
            if attempt >= self.options.attempts || !setback.error.may_pass() {
                return Err(setback.error);
            }
            let wait = setback
                .retry_after
                .map_or_else(|| self.wait(attempt), |asked| asked.min(MAX_RETRY_AFTER));
            tracing::debug!(origin = self.origin, method, attempt, ?wait, error = %setback.error, "retrying");
            tokio::time::sleep(wait).await;
            attempt += 1;
        }
    }

    async fn attempt(&self, method: &'static str, request: Bytes) -> Result<Bytes, Setback> {
        let unreachable = |source: reqwest::Error| CallError::Unreachable {
            origin: self.origin.clone(),
            method,
            source: source.without_url(),
        };
        let mut response = self
            .http
            .post(self.options.url.clone())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT_ENCODING, "gzip")
            .body(request)
            .send()
            .await
            .map_err(unreachable)?;
        let status = response.status();
        let header = |name| {
            response
                .headers()
                .get(name)
                .and_then(|value| value.to_str().ok())
        };
        let seconds = header(RETRY_AFTER).and_then(|value| value.trim().parse().ok());
        let packed = header(CONTENT_ENCODING).is_some_and(|encoding| encoding == "gzip");
        let mut body = BytesMut::new();
        while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
            if (body.len() + chunk.len()) as u64 > MAX_ANSWER {
                return Err(self.too_large(method).into());
            }
            body.extend_from_slice(&chunk);
        }
        let (body, origin) = (body.freeze(), self.origin.clone());
        // A block has megabytes.
        let check = move || {
            let body = match packed {
                true => unpack(&body),
                false => Ok(body),
            };
            let body = body.map_err(|source| CallError::Garbage {
                origin: origin.clone(),
                method,
                source: serde_json::Error::io(source),
            })?;
            call::check(&body, &origin, method)?;
            Ok(body)
        };
        let checked = tokio::task::spawn_blocking(check).await;
        let checked = checked.map_err(|stopped| CallError::Garbage {
            origin: self.origin.clone(),
            method,
            source: serde_json::Error::io(stopped.into()),
        });
        let error = match checked.flatten() {
            Ok(body) if status.is_success() => return Ok(body),
            // Some endpoints explain in JSON what is wrong with a request.
            Err(error @ CallError::Refused { .. }) if status == StatusCode::BAD_REQUEST => error,
            Err(error) if status.is_success() => error,
            _ => CallError::Status {
                origin: self.origin.clone(),
                method,
                status: status.as_u16(),
                advice: call::advice_for_status(status.as_u16()),
            },
        };
        Err(Setback {
            error,
            retry_after: seconds.map(Duration::from_secs),
        })
    }

    fn too_large(&self, method: &'static str) -> CallError {
        CallError::TooLarge {
            origin: self.origin.clone(),
            method,
            limit: MAX_ANSWER,
        }
    }

    /// Between half and all of a time that doubles with each attempt.
    fn wait(&self, attempt: u32) -> Duration {
        let doublings = 2_u32.saturating_pow(attempt.saturating_sub(1));
        let whole = self.options.first_wait.saturating_mul(doublings);
        let whole = whole.min(self.options.longest_wait);
        let mut randomness = self
            .randomness
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        whole.mul_f64(randomness.random_range(0.5..=1.0))
    }
}

fn unpack(body: &[u8]) -> std::io::Result<Bytes> {
    let mut unpacked = Vec::new();
    flate2::read::MultiGzDecoder::new(body)
        .take(MAX_ANSWER)
        .read_to_end(&mut unpacked)?;
    Ok(unpacked.into())
}

/// Scheme, host and port: keys are in paths and queries.
fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_not_shown() -> Result<(), url::ParseError> {
        let url = Url::parse("https://user:pass@rpc.example:8899/v2/KEY?api-key=SECRET")?;
        assert_eq!(origin(&url), "https://rpc.example:8899");
        Ok(())
    }
}
