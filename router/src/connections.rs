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
use streamsync_core::with_causes;
use tokio::net::TcpStream;
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

/// Connections, by host and port. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Connections(Arc<Mutex<HashMap<String, Slot>>>);

impl Connections {
    /// Sends a request, and waits for the head of the answer.
    pub(crate) async fn post(
        &self,
        endpoint: &Url,
        path: &'static str,
        body: Bytes,
    ) -> Result<Response<Incoming>, RacerError> {
        let authority = endpoint.authority();
        let mut sender = self.sender(authority, endpoint).await?;
        let request = Request::post(format!("http://{authority}{path}"))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| RacerError::Connection(error.to_string()))?;
        let sent = sender.send_request(request).await;
        sent.map_err(|error| RacerError::Connection(with_causes(&error)))
    }

    async fn sender(&self, authority: &str, endpoint: &Url) -> Result<Sender, RacerError> {
        let slot = self.slot(authority);
        let mut slot = slot.lock().await;
        if let Some(sender) = slot.as_ref()
            && !sender.is_closed()
        {
            return Ok(sender.clone());
        }
        let sender = connect(endpoint).await?;
        *slot = Some(sender.clone());
        Ok(sender)
    }

    fn slot(&self, authority: &str) -> Slot {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get(authority) {
            return Arc::clone(slot);
        }
        if slots.len() >= SWEPT_FROM {
            slots.retain(|_, slot| match slot.try_lock() {
                Ok(sender) => sender.as_ref().is_some_and(|sender| !sender.is_closed()),
                Err(_in_use) => true,
            });
        }
        Arc::clone(slots.entry(authority.to_owned()).or_default())
    }
}

async fn connect(endpoint: &Url) -> Result<Sender, RacerError> {
    let failed = |error: String| RacerError::Connection(error);
    let host = endpoint.host_str().unwrap_or_default();
    let port = endpoint.port_or_known_default().unwrap_or(80);
    // An IPv6 address stands in brackets in a URL, and without them here.
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let connecting = async {
        let stream = TcpStream::connect((host, port)).await;
        let stream = stream.map_err(|error| failed(error.to_string()))?;
        stream
            .set_nodelay(true)
            .map_err(|error| failed(error.to_string()))?;
        http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .adaptive_window(true)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_PATIENCE)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(with_causes(&error)))
    };
    let (sender, connection) = tokio::time::timeout(CONNECT_PATIENCE, connecting)
        .await
        .map_err(|_| failed(format!("not connected after {CONNECT_PATIENCE:?}")))??;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to a worker broke");
        }
    });
    Ok(sender)
}
