//! The one place where errors become HTTP.

use crate::{PlanError, Position, RaceError, RouterError};
use axum::{
    Json,
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use std::error::Error;
use streamsync_core::{PROBLEM_MEDIA_TYPE, Problem, QueryId, Refusal, with_causes};
use streamsync_registry::RegistryError;

/// A failed request, as problem details (RFC 9457).
pub(super) struct Failure(Box<Problem>);

impl Failure {
    fn new(status: StatusCode, kind: &str, title: &'static str, detail: String) -> Self {
        Self(Box::new(Problem {
            kind: format!("/problems/{kind}").into(),
            title: title.into(),
            status: status.as_u16(),
            detail,
            query_id: None,
            more: Map::new(),
        }))
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.0.more.insert(name.to_owned(), value);
        self
    }

    /// Names the query.
    pub(super) fn about(mut self, id: QueryId) -> Self {
        self.0.query_id = Some(id.to_string());
        self
    }

    pub(super) fn not_found() -> Self {
        let detail = "there is nothing here; docs/API.md lists what there is".to_owned();
        Self::new(StatusCode::NOT_FOUND, "not-found", "not found", detail)
    }

    pub(super) fn method_not_allowed() -> Self {
        let detail = "this address takes another method".to_owned();
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method-not-allowed",
            "wrong method",
            detail,
        )
    }

    pub(super) fn no_table(name: &str, hint: &str) -> Self {
        let detail = format!("there is no table `{name}`{hint}");
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown-table",
            "unknown table",
            detail,
        )
    }

    pub(super) fn no_worker(id: &str) -> Self {
        let detail = format!("no worker `{id}` is registered; GET /v1/workers lists them");
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown-worker",
            "unknown worker",
            detail,
        )
    }

    pub(super) fn no_audit(id: &str) -> Self {
        let detail = format!(
            "there is no audit of query `{id}`: only queries with \"verify\": \"fast\" have one, \
             soon after their answer and for a day"
        );
        Self::new(StatusCode::NOT_FOUND, "no-audit", "no audit", detail)
    }

    pub(super) fn not_acceptable(accept: &str) -> Self {
        let detail = format!(
            "`{accept}` is not sent; accept application/json, application/x-ndjson, text/csv or \
             application/vnd.apache.arrow.stream"
        );
        Self::new(
            StatusCode::NOT_ACCEPTABLE,
            "not-acceptable",
            "unknown format",
            detail,
        )
    }

    pub(super) fn unreadable(error: &dyn Error) -> Self {
        let detail = format!("the request could not be read: {error}");
        Self::new(
            StatusCode::BAD_REQUEST,
            "unreadable-request",
            "unreadable request",
            detail,
        )
    }

    pub(super) fn too_large(limit: usize) -> Self {
        let detail = format!("the request has more than {limit} bytes; send less, or parameters");
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "request-too-large",
            "too large",
            detail,
        )
    }

    pub(super) fn json(error: &serde_json::Error) -> Self {
        let detail = format!("the request is not the JSON of a query: {error}");
        Self::new(
            StatusCode::BAD_REQUEST,
            "malformed-request",
            "malformed request",
            detail,
        )
    }

    pub(super) fn unencodable(media_type: &str, error: &dyn Error) -> Self {
        let detail = format!("the rows cannot be written as {media_type}: {error}");
        Self::new(
            StatusCode::NOT_ACCEPTABLE,
            "not-acceptable",
            "unfit format",
            detail,
        )
    }

    pub(super) fn lake(error: &dyn Error) -> Self {
        let detail = with_causes(error);
        tracing::error!(error = detail, "could not read the lake");
        Self::new(
            StatusCode::BAD_GATEWAY,
            "lake",
            "the lake cannot be read",
            detail,
        )
    }

    pub(super) fn internal(error: &dyn Error) -> Self {
        tracing::error!(error = with_causes(error), "a request was broken off");
        let detail = "the request was broken off; the log says why".to_owned();
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "internal error",
            detail,
        )
    }
}

impl From<RouterError> for Failure {
    fn from(error: RouterError) -> Self {
        let detail = error.to_string();
        let busy = |kind| {
            Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                kind,
                "busy",
                detail.clone(),
            )
        };
        match error {
            RouterError::Plan(error) => error.into(),
            RouterError::Race(error) => error.into(),
            RouterError::Full(_) => busy("busy"),
            RouterError::NotReady => busy("not-ready"),
        }
    }
}

impl From<RegistryError> for Failure {
    fn from(error: RegistryError) -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "registry",
            "the registry cannot be reached",
            error.to_string(),
        )
    }
}

impl From<PlanError> for Failure {
    fn from(error: PlanError) -> Self {
        let detail = error.to_string();
        let bad = |kind, title| Self::new(StatusCode::BAD_REQUEST, kind, title, detail.clone());
        match &error {
            PlanError::Refused(refused) => {
                let failure = bad(refused.kind(), "query refused");
                match refused.position() {
                    Some(Position { line, column }) => {
                        failure.with("position", json!({ "line": line, "column": column }))
                    }
                    None => failure,
                }
            }
            PlanError::Deadline { .. } => bad("deadline-out-of-bounds", "deadline out of bounds"),
            PlanError::Price { .. } => Self::new(
                StatusCode::PAYMENT_REQUIRED,
                "price",
                "too dear",
                detail.clone(),
            ),
            PlanError::Files(error) => Self::lake(error),
        }
    }
}

impl From<RaceError> for Failure {
    fn from(error: RaceError) -> Self {
        let detail = error.to_string();
        let new = |status, kind, title| Self::new(status, kind, title, detail.clone());
        match error {
            RaceError::TooFew { .. } => new(
                StatusCode::SERVICE_UNAVAILABLE,
                "too-few-workers",
                "too few workers",
            ),
            RaceError::Refused { refusal, .. } => match refusal {
                Refusal::InvalidQuery => {
                    new(StatusCode::BAD_REQUEST, "invalid-query", "query refused")
                }
                Refusal::FailedOnData => new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "failed-on-data",
                    "query failed",
                ),
                Refusal::AnswerTooLarge => new(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "answer-too-large",
                    "answer too large",
                ),
            },
            RaceError::Busy { racers } => {
                new(StatusCode::SERVICE_UNAVAILABLE, "busy", "busy").with("racers", json!(racers))
            }
            RaceError::Deadline { racers, .. } => {
                new(StatusCode::GATEWAY_TIMEOUT, "deadline", "deadline passed")
                    .with("racers", json!(racers))
            }
            RaceError::NoQuorum { racers, .. } => {
                new(StatusCode::BAD_GATEWAY, "no-quorum", "no quorum").with("racers", json!(racers))
            }
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let id = self.0.query_id.clone();
        let mut response = (status, Json(*self.0)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(PROBLEM_MEDIA_TYPE),
        );
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(id) = id.and_then(|id| HeaderValue::try_from(id).ok()) {
            headers.insert("streamsync-query-id", id);
        }
        response
    }
}
