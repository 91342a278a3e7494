//! Requests of those who may make them.

use super::{Served, error::Failure};
use crate::{
    Client,
    callers::{Caller, Named},
    limits::Admitted,
    nonces::Claimed,
};
use axum::{
    body::Body,
    extract::{ConnectInfo, FromRequest, Request},
    http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts},
    response::Response,
};
use futures::StreamExt;
use std::{marker::PhantomData, net::SocketAddr, time::Duration};
use streamsync_access::Message;
use streamsync_core::{QueryId, Scope};

/// The body of a request that its sender may make, as `T` says.
pub(super) struct Allowed<T> {
    /// A name for it, if it is a query.
    pub(super) id: QueryId,
    pub(super) caller: Caller,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    kind: PhantomData<T>,
}

/// Who may make a request.
pub(super) trait Kind {
    /// The scope that it takes.
    const SCOPE: Scope;
    /// Whether who handles it finds out itself that it is new.
    const CLAIMS: bool = false;
}

/// Asks a query, which runs while it is found out whether the request is new.
pub(super) struct Query;
/// Reads what any client may.
pub(super) struct Reads;
/// Looks at the whole network.
pub(super) struct Operates;
/// Changes keys and credit.
pub(super) struct Administers;

impl Kind for Query {
    const SCOPE: Scope = Scope::Query;
    const CLAIMS: bool = true;
}

impl Kind for Reads {
    const SCOPE: Scope = Scope::Query;
}

impl Kind for Operates {
    const SCOPE: Scope = Scope::Operate;
}

impl Kind for Administers {
    const SCOPE: Scope = Scope::Admin;
}

impl<T: Kind> FromRequest<Served> for Allowed<T> {
    type Rejection = Failure;

    async fn from_request(request: Request, served: &Served) -> Result<Self, Failure> {
        let id = served.router.query_id();
        let allowed = Self::check(request, served, id).await;
        allowed.map_err(|failure| {
            if T::CLAIMS {
                failure.about(id)
            } else {
                failure
            }
        })
    }
}

impl<T: Kind> Allowed<T> {
    async fn check(request: Request, served: &Served, id: QueryId) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let router = &served.router;
        let address = match parts.extensions.get::<ConnectInfo<SocketAddr>>() {
            Some(ConnectInfo(address)) => address.ip(),
            None => return Err(Failure::internal(&NoAddress)),
        };
        if parts.headers.contains_key(header::CONTENT_ENCODING) {
            return Err(Failure::encoded());
        }
        let config = router.config();
        let patience = Duration::from_millis(config.request_ms);
        let reading = read(body, config.max_request_bytes);
        let body = tokio::time::timeout(patience, reading).await;
        let body = body.map_err(|_| Failure::slow(patience))??;
        let received_at = router.clock().monotonic();
        let mut caller = match router.accounts() {
            None => Caller {
                named: None,
                address,
                received_at,
                claimed: Claimed::needless(),
                admitted: Admitted::uncounted(),
            },
            Some(accounts) => {
                let message = message(&parts)?;
                let checked = accounts
                    .callers()
                    .check(message, &body, address, received_at, T::SCOPE)
                    .await;
                checked.inspect_err(|error| {
                    metrics::counter!("streamsync_router_refused_total", "reason" => error.reason())
                        .increment(1);
                    tracing::info!(%address, %error, "a request is refused");
                })?
            }
        };
        if !T::CLAIMS {
            let claimed = std::mem::replace(&mut caller.claimed, Claimed::needless());
            claimed.prove_new().await?;
        }
        Ok(Self {
            id,
            caller,
            headers: parts.headers,
            body,
            kind: PhantomData,
        })
    }
}

#[derive(Debug, thiserror::Error)]
#[error("the connection has no address")]
struct NoAddress;

/// What the signature may cover. HTTP/2 names the host in the request itself.
fn message(parts: &Parts) -> Result<Message<'_>, Failure> {
    let mut hosts = parts.headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err(Failure::two_hosts());
    }
    let host = host.and_then(|host| host.to_str().ok());
    let authority = parts
        .uri
        .authority()
        .map(|authority| authority.as_str())
        .or(host);
    Ok(Message {
        method: parts.method.as_str(),
        authority: authority.unwrap_or_default(),
        path: parts.uri.path(),
        query: parts.uri.query(),
        headers: &parts.headers,
    })
}

/// How many times the limit of a request is read, to throw it away, before the client is hung up
/// on: one that still sends does not read the answer that says why it is refused.
const DISCARDED: usize = 32;

async fn read(body: Body, limit: usize) -> Result<Vec<u8>, Failure> {
    let (mut kept, mut length) = (Vec::new(), 0_usize);
    let mut pieces = body.into_data_stream();
    while let Some(piece) = pieces.next().await {
        let piece = piece.map_err(|error| Failure::unreadable(&error))?;
        length = length.saturating_add(piece.len());
        if length <= limit {
            kept.extend_from_slice(&piece);
        } else if length > limit.saturating_mul(DISCARDED) {
            break;
        }
    }
    if length <= limit {
        Ok(kept)
    } else {
        Err(Failure::too_large(limit))
    }
}

impl<T> Allowed<T> {
    /// Whom a query waits with.
    pub(super) fn client(&self) -> Client {
        match &self.caller.named {
            Some(named) => Client::Named(named.client.clone()),
            None => Client::At(self.caller.address),
        }
    }

    /// Who he is, for what only those have who pay.
    pub(super) fn named(&self) -> Result<&Named, Failure> {
        self.caller.named.as_ref().ok_or_else(Failure::no_accounts)
    }

    /// The body as JSON.
    pub(super) fn json<B: serde::de::DeserializeOwned>(&self) -> Result<B, Failure> {
        serde_json::from_slice(&self.body).map_err(|error| Failure::json(&error))
    }

    /// Says in the headers of an answer what is left to the key.
    pub(super) fn tell_limits(&self, response: &mut Response) {
        if let Some(remaining) = self.caller.admitted.remaining() {
            let seconds = remaining.resets_in.as_secs();
            let headers = response.headers_mut();
            for (name, value) in [
                (
                    "ratelimit-policy",
                    format!("\"requests\";q={};w=60", remaining.limit),
                ),
                (
                    "ratelimit",
                    format!("\"requests\";r={};t={seconds}", remaining.left),
                ),
            ] {
                if let Ok(value) = HeaderValue::try_from(value) {
                    headers.insert(HeaderName::from_static(name), value);
                }
            }
        }
    }
}
