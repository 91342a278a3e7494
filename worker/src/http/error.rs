//! Errors of a worker as HTTP.

use crate::ExecuteError;
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use std::error::Error;
use streamsync_core::{ANSWER_HEADER, PROBLEM_MEDIA_TYPE, Problem, Protocols, with_causes};

/// A failed request.
pub(super) struct Failure {
    status: StatusCode,
    kind: &'static str,
    detail: String,
    signed: Option<HeaderValue>,
}

impl Failure {
    pub(super) fn encode(error: impl Error) -> Self {
        Self {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            kind: "/problems/internal",
            detail: format!("could not encode the answer: {error}"),
            signed: None,
        }
    }
}

impl Failure {
    /// What a router says is in a version that this worker does not understand.
    pub(super) fn protocol(version: &str) -> Self {
        let Protocols { oldest, newest } = Protocols::OWN;
        Self {
            status: StatusCode::BAD_REQUEST,
            kind: "/problems/protocol",
            detail: format!(
                "the router speaks version `{version}` of the protocol, and this worker {oldest} to {newest}"
            ),
            signed: None,
        }
    }
}

impl From<ExecuteError> for Failure {
    fn from(error: ExecuteError) -> Self {
        let (status, kind) = match &error {
            ExecuteError::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "/problems/busy"),
            ExecuteError::Refused { .. } => {
                (StatusCode::UNPROCESSABLE_ENTITY, "/problems/query-refused")
            }
            ExecuteError::Stopped => (StatusCode::GATEWAY_TIMEOUT, "/problems/deadline"),
            ExecuteError::OutOfMemory(_) => {
                (StatusCode::INSUFFICIENT_STORAGE, "/problems/out-of-memory")
            }
            ExecuteError::Table { .. } | ExecuteError::Load { .. } => {
                (StatusCode::BAD_GATEWAY, "/problems/lake")
            }
            ExecuteError::Engine(_) | ExecuteError::BrokenOff(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "/problems/internal")
            }
        };
        let signed = match &error {
            ExecuteError::Refused { signed, .. } => super::signed_header(signed).ok(),
            _ => None,
        };
        if status.is_server_error() {
            tracing::warn!(kind, error = &error as &dyn Error, "a query failed");
        }
        Self {
            status,
            kind,
            detail: with_causes(&error),
            signed,
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let problem = Problem {
            kind: self.kind.into(),
            title: self.status.canonical_reason().unwrap_or("error").into(),
            status: self.status.as_u16(),
            detail: self.detail,
            query_id: None,
            more: serde_json::Map::new(),
        };
        let mut response = (self.status, Json(problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(PROBLEM_MEDIA_TYPE),
        );
        if self.status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(signed) = self.signed {
            headers.insert(ANSWER_HEADER, signed);
        }
        response
    }
}
