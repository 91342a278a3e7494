//! Connections to workers: one to each, HTTP/2, kept.
//!
//! Over `hyper` itself rather than over a client library, because five requests go out for each
//! query: what such a client does for each (URLs, redirects, cookies, proxies) is most of what a
//! raced lookup costs.

use crate::racer::RacerError;
use bytes::Bytes;
use http::{Request, Response, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{
    body::Incoming,
    client::conn::http2::{self, SendRequest},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use streamsync_core::{PROTOCOL_HEADER, WorkerId, with_causes};
use streamsync_tls::Credentials;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
};
use url::Url;

/// How long a connection may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);
/// How often a silent worker is asked whether it is there, and how long its answer is waited for.
const PING_EVERY: Duration = Duration::from_secs(5);
const PING_PATIENCE: Duration = Duration::from_secs(5);
/// The connections that are kept; when there are more, those that are broken go.
const SWEPT_FROM: usize = 1_024;

type Sender = SendRequest<Full<Bytes>>;
/// Locked while the connection is made, so that it is made once.
type Slot = Arc<tokio::sync::Mutex<Option<Sender>>>;

/// Connections, by host and port, and by worker: who takes over an address is another. Cheap to
/// clone.
#[derive(Clone)]
pub(crate) struct Connections {
    slots: Arc<Mutex<HashMap<(String, WorkerId), Slot>>>,
    /// Without them, connections are in plain text.
    credentials: Option<Credentials>,
}

impl Connections {
    pub(crate) fn new(credentials: Option<Credentials>) -> Self {
        Self {
            slots: Arc::default(),
            credentials,
        }
    }

    /// Sends a request, and waits for the head of the answer.
    pub(crate) async fn post(
        &self,
        worker: WorkerId,
        endpoint: &Url,
        path: &'static str,
        protocol: u16,
        body: Bytes,
    ) -> Result<Response<Incoming>, RacerError> {
        let authority = endpoint.authority();
        let mut sender = self.sender(worker, authority, endpoint).await?;
        let mut request = Request::post(format!("{}://{authority}{path}", endpoint.scheme()))
            .header(CONTENT_TYPE, "application/json")
            .header(PROTOCOL_HEADER, protocol)
            .body(Full::new(body))
            .map_err(|error| RacerError::Connection(error.to_string()))?;
        streamsync_telemetry::pass_on(request.headers_mut());
        let sent = sender.send_request(request).await;
        sent.map_err(|error| RacerError::Connection(with_causes(&error)))
    }

    async fn sender(
        &self,
        worker: WorkerId,
        authority: &str,
        endpoint: &Url,
    ) -> Result<Sender, RacerError> {
        let slot = self.slot(worker, authority);
        let mut slot = slot.lock().await;
        if let Some(sender) = slot.as_ref()
            && !sender.is_closed()
        {
            return Ok(sender.clone());
        }
        let sender = self.connect(worker, endpoint).await?;
        *slot = Some(sender.clone());
        Ok(sender)
    }

    fn slot(&self, worker: WorkerId, authority: &str) -> Slot {
        let place = (authority.to_owned(), worker);
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(&place) {
            return Arc::clone(slot);
        }
        if slots.len() >= SWEPT_FROM {
            slots.retain(|_, slot| match slot.try_lock() {
                Ok(sender) => sender.as_ref().is_some_and(|sender| !sender.is_closed()),
                Err(_in_use) => true,
            });
        }
        Arc::clone(slots.entry(place).or_default())
    }

    async fn connect(&self, worker: WorkerId, endpoint: &Url) -> Result<Sender, RacerError> {
        let failed = |error: String| RacerError::Connection(error);
        let host = endpoint.host_str().unwrap_or_default();
        let port = endpoint.port_or_known_default().unwrap_or(443);
        // An IPv6 address stands in brackets in a URL, and without them here.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let connecting = async {
            let stream = TcpStream::connect((host, port)).await;
            let stream = stream.map_err(|error| failed(error.to_string()))?;
            stream
                .set_nodelay(true)
                .map_err(|error| failed(error.to_string()))?;
            match (&self.credentials, endpoint.scheme()) {
                (Some(credentials), "https") => {
                    let stream = credentials.connect(worker, stream).await;
                    shake_hands(stream.map_err(|error| failed(with_causes(&error)))?).await
                }
                (None, "http") if stream.peer_addr().is_ok_and(|peer| peer.ip().is_loopback()) => {
                    shake_hands(stream).await
                }
                (None, "http") => Err(failed(
                    "without TLS only workers on loopback addresses are asked".to_owned(),
                )),
                // There is no falling back to plain text, whatever a worker says of itself.
                (Some(_), _) => Err(failed("the worker does not offer TLS".to_owned())),
                (None, _) => Err(failed(
                    "the worker wants TLS, and this router has none".to_owned(),
                )),
            }
        };
        tokio::time::timeout(CONNECT_PATIENCE, connecting)
            .await
            .map_err(|_| failed(format!("not connected after {CONNECT_PATIENCE:?}")))?
    }
}

async fn shake_hands<S>(stream: S) -> Result<Sender, RacerError>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .adaptive_window(true)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_PATIENCE)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| RacerError::Connection(with_causes(&error)))?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a worker broke");
        }
    });
    Ok(sender)
}
