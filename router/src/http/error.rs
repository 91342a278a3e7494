//! The one place where errors become HTTP.

use crate::{
    AccessError, AdministrationError, CreditError, Limited, PlanError, Position, RaceError,
    Replayed, RouterError,
};
use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};
use std::error::Error;
use streamsync_access::SignatureError;
use streamsync_core::{PROBLEM_MEDIA_TYPE, Problem, QueryId, Refusal, with_causes};
use streamsync_registry::{DepositRefused, RegistryError};

/// A failed request, as problem details (RFC 9457), and after how many seconds to come back.
pub(super) struct Failure(Box<Problem>, Option<u64>);

/// What a signature should be, in the header `accept-signature` (RFC 9421, section 5.1).
const ACCEPTED: &str = "sig=(\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\")\
    ;created;keyid;nonce;alg=\"hmac-sha256\"";

impl Failure {
    fn new(status: StatusCode, kind: &str, title: &'static str, detail: String) -> Self {
        let problem = Problem {
            kind: format!("/problems/{kind}").into(),
            title: title.into(),
            status: status.as_u16(),
            detail,
            query_id: None,
            more: Map::new(),
        };
        let later = status == StatusCode::SERVICE_UNAVAILABLE;
        Self(Box::new(problem), later.then_some(1))
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

    /// Whether the client is at fault (`refused`) or we are (`failed`).
    pub(super) fn result(&self) -> &'static str {
        match self.0.status {
            ..500 => "refused",
            _ => "failed",
        }
    }

    /// The end of the problem's type.
    pub(super) fn kind(&self) -> &str {
        self.0.kind.trim_start_matches("/problems/")
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

    pub(super) fn no_batch(number: &str) -> Self {
        let detail = format!(
            "no settled batch `{number}` is known here; GET /v1/settlements lists them, and the table \
             `settlements` has all of them"
        );
        Self::new(
            StatusCode::NOT_FOUND,
            "unknown-batch",
            "unknown batch",
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

    pub(super) fn no_key(id: &str) -> Self {
        let detail = format!("`{id}` is not the name of an API key");
        Self::new(StatusCode::NOT_FOUND, "no-key", "no such key", detail)
    }

    pub(super) fn no_client(error: &dyn Error) -> Self {
        let detail = error.to_string();
        Self::new(StatusCode::NOT_FOUND, "no-client", "no such client", detail)
    }

    pub(super) fn no_place(text: &str) -> Self {
        let detail = format!("`{text}` is not a place: take it from the header streamsync-after");
        Self::new(
            StatusCode::BAD_REQUEST,
            "malformed-request",
            "malformed request",
            detail,
        )
    }

    pub(super) fn deposit_name(longest: usize) -> Self {
        let detail =
            format!("a deposit needs a name of 1 to {longest} bytes, so that it is added once");
        Self::new(
            StatusCode::BAD_REQUEST,
            "malformed-request",
            "malformed request",
            detail,
        )
    }

    pub(super) fn no_accounts() -> Self {
        let detail =
            "this router runs with --insecure-no-auth: nobody has keys, credit or receipts";
        Self::new(
            StatusCode::NOT_FOUND,
            "no-accounts",
            "no accounts",
            detail.to_owned(),
        )
    }

    pub(super) fn encoded() -> Self {
        let detail = "the body of a request may not be compressed".to_owned();
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Self::new(status, "content-encoding", "compressed request", detail)
    }

    pub(super) fn slow(patience: std::time::Duration) -> Self {
        let detail = format!("the body of the request did not come within {patience:?}");
        Self::new(
            StatusCode::REQUEST_TIMEOUT,
            "slow-request",
            "slow request",
            detail,
        )
    }

    pub(super) fn two_hosts() -> Self {
        let detail = "the request names two hosts".to_owned();
        Self::new(
            StatusCode::BAD_REQUEST,
            "two-hosts",
            "malformed request",
            detail,
        )
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
            RouterError::Price { price, .. } => {
                Self::new(StatusCode::PAYMENT_REQUIRED, "price", "too dear", detail)
                    .with("price", json!(price))
            }
            RouterError::Credit(error) => error.into(),
            RouterError::Receipt(error) => {
                tracing::error!(error = with_causes(&error), "a receipt could not be kept");
                busy("receipts")
            }
        }
    }
}

impl From<CreditError> for Failure {
    fn from(error: CreditError) -> Self {
        let detail = error.to_string();
        match &error {
            CreditError::Insufficient {
                price,
                balance,
                debt,
                ..
            } => Self::new(
                StatusCode::PAYMENT_REQUIRED,
                "credit",
                "not enough credit",
                detail,
            )
            .with("price", json!(price))
            .with("balance", json!(balance))
            .with("debt", json!(debt))
            .with("missing", json!(error.missing())),
            CreditError::Unreachable { .. } => Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "registry",
                "no credit at hand",
                detail,
            ),
        }
    }
}

impl From<Replayed> for Failure {
    fn from(error: Replayed) -> Self {
        AccessError::from(error).into()
    }
}

impl AccessError {
    /// The stable name of the reason.
    pub(super) fn reason(&self) -> &'static str {
        match self {
            Self::Signature(error) => match error {
                SignatureError::Missing(_) => "unsigned",
                SignatureError::NoDigest | SignatureError::OtherBody => "content-digest",
                SignatureError::TooOld { .. } | SignatureError::Future { .. } => "signature-time",
                SignatureError::Mismatch => "signature-mismatch",
                SignatureError::NotCovered(_) => "signature-coverage",
                _ => "signature-malformed",
            },
            Self::UnknownKey(_) => "unknown-key",
            Self::Revoked(_) => "key-revoked",
            Self::Scope { .. } => "scope",
            Self::OtherMaster(_) => "other-master",
            Self::Replayed(_) => "replayed",
            Self::Limited(_) => "rate-limit",
            Self::Registry(_) => "registry",
        }
    }
}

impl From<AccessError> for Failure {
    fn from(error: AccessError) -> Self {
        let detail = error.to_string();
        let kind = error.reason();
        let new = |status, title| Self::new(status, kind, title, detail.clone());
        match &error {
            AccessError::Signature(_)
            | AccessError::UnknownKey(_)
            | AccessError::Revoked(_)
            | AccessError::Replayed(_) => new(StatusCode::UNAUTHORIZED, "not authenticated"),
            AccessError::Scope { .. } => new(StatusCode::FORBIDDEN, "not allowed"),
            AccessError::OtherMaster(_) | AccessError::Registry(_) => {
                tracing::error!(error = with_causes(&error), "a key could not be checked");
                new(StatusCode::SERVICE_UNAVAILABLE, "the key cannot be checked")
            }
            AccessError::Limited(Limited {
                policy,
                limit,
                retry_after,
                ..
            }) => {
                let mut failure = new(StatusCode::TOO_MANY_REQUESTS, "limit reached");
                failure.1 = Some(retry_after.as_millis().div_ceil(1_000) as u64);
                failure
                    .with("policy", json!(policy))
                    .with("limit", json!(limit))
            }
        }
    }
}

impl From<AdministrationError> for Failure {
    fn from(error: AdministrationError) -> Self {
        let detail = error.to_string();
        let new = |status, kind, title| Self::new(status, kind, title, detail.clone());
        match error {
            AdministrationError::UnknownKey(_) => {
                new(StatusCode::NOT_FOUND, "no-key", "no such key")
            }
            AdministrationError::Revoked(_) => new(StatusCode::CONFLICT, "key-revoked", "revoked"),
            AdministrationError::Contended(_) => {
                new(StatusCode::CONFLICT, "contended", "try again")
            }
            AdministrationError::NoScope | AdministrationError::Overlap(_) => new(
                StatusCode::BAD_REQUEST,
                "malformed-request",
                "malformed request",
            ),
            AdministrationError::Deposit(DepositRefused::Registry(error))
            | AdministrationError::Registry(error) => error.into(),
            AdministrationError::Deposit(_) => {
                new(StatusCode::BAD_REQUEST, "deposit", "credit not added")
            }
            AdministrationError::NoMaster => Self::internal(&error),
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
        let Self(problem, later) = self;
        let id = problem.query_id.clone();
        let mut response = (status, Json(*problem)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(PROBLEM_MEDIA_TYPE),
        );
        if let Some(later) = later {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(later));
        }
        if status == StatusCode::UNAUTHORIZED {
            let accepted = HeaderName::from_static("accept-signature");
            headers.insert(accepted, HeaderValue::from_static(ACCEPTED));
            let scheme = HeaderValue::from_static("Signature");
            headers.insert(header::WWW_AUTHENTICATE, scheme);
        }
        if let Some(id) = id.and_then(|id| HeaderValue::try_from(id).ok()) {
            headers.insert("streamsync-query-id", id);
        }
        response
    }
}
