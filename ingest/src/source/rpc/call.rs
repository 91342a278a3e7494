//! What an endpoint may answer to one request, and what to make of it.

use serde::{Deserialize, de::IgnoredAny};
use std::time::Duration;

/// Why a call got no answer, after all tries. Names the endpoint without its path, its query and
/// its password, in which keys are.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The client could not be set up.
    #[error("could not set up the client for {origin}")]
    Client {
        /// The endpoint.
        origin: String,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// The endpoint did not answer, or not in time.
    #[error("{origin} did not answer `{method}`; check the URL and the network")]
    Unreachable {
        /// The endpoint.
        origin: String,
        /// The method.
        method: &'static str,
        /// The cause.
        #[source]
        source: reqwest::Error,
    },
    /// The endpoint answered with an HTTP status that is no success.
    #[error("{origin} answered `{method}` with HTTP status {status}{advice}")]
    Status {
        /// The endpoint.
        origin: String,
        /// The method.
        method: &'static str,
        /// The status.
        status: u16,
        /// What to do about it.
        advice: &'static str,
    },
    /// The endpoint answered with a JSON-RPC error.
    #[error("{origin} answered `{method}` with error {code}: {message}{}", advice(*.code))]
    Refused {
        /// The endpoint.
        origin: String,
        /// The method.
        method: &'static str,
        /// The code.
        code: i64,
        /// The text.
        message: String,
    },
    /// The answer is no JSON-RPC answer, or not of the kind that was asked for.
    #[error("{origin} answered `{method}` with something that is not a JSON-RPC answer to it")]
    Garbage {
        /// The endpoint.
        origin: String,
        /// The method.
        method: &'static str,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// The answer has no end.
    #[error("{origin} answered `{method}` with more than {limit} bytes")]
    TooLarge {
        /// The endpoint.
        origin: String,
        /// The method.
        method: &'static str,
        /// The most that is read.
        limit: u64,
    },
}

impl CallError {
    /// Whether no other call can do better: the endpoint does not let us in.
    pub(super) fn ends_all(&self) -> bool {
        matches!(
            self,
            Self::Status {
                status: 401 | 403 | 404,
                ..
            }
        )
    }

    /// Whether another try may do better.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Garbage { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            Self::Refused { code, .. } => matches!(
                code,
                // Too many requests, in several dialects.
                429 | -32429
                // Node behind, block or its status not available yet, slot not reached.
                | -32005 | -32004 | -32014 | -32016
                // Internal error.
                | -32603
            ),
            Self::Client { .. } | Self::TooLarge { .. } => false,
        }
    }
}

/// What to do about a status.
pub(super) fn advice_for_status(status: u16) -> &'static str {
    match status {
        401 | 403 => "; it wants a key, or another one: put it into the URL",
        404 => "; there is no JSON-RPC at this path",
        429 => "; it limits the rate: ask with less concurrency, or another endpoint",
        _ => "",
    }
}

fn advice(code: i64) -> &'static str {
    match code {
        -32001 | -32011 => "; ask an endpoint that keeps history, or read block files",
        -32004 | -32014 => "; it does not have the block yet",
        -32015 => "; the block has transactions of a version that is not known",
        _ => "",
    }
}

/// A try that failed.
pub(super) struct Setback {
    pub(super) error: CallError,
    /// How long the endpoint asks us to wait.
    pub(super) retry_after: Option<Duration>,
}

impl From<CallError> for Setback {
    fn from(error: CallError) -> Self {
        let retry_after = None;
        Self { error, retry_after }
    }
}

/// The outline of an answer.
#[derive(Deserialize)]
struct Outline {
    error: Option<Refusal>,
    #[serde(rename = "jsonrpc")]
    _jsonrpc: IgnoredAny,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    code: i64,
    #[serde(default)]
    message: String,
}

/// Tells an answer from an error and from garbage.
pub(super) fn check(body: &[u8], origin: &str, method: &'static str) -> Result<(), CallError> {
    let origin = || origin.to_owned();
    let outline: Outline = serde_json::from_slice(body).map_err(|source| CallError::Garbage {
        origin: origin(),
        method,
        source,
    })?;
    match outline.error {
        None => Ok(()),
        Some(Refusal { code, message }) => Err(CallError::Refused {
            origin: origin(),
            method,
            code,
            message,
        }),
    }
}
