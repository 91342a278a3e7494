//! Serving HTTP until told to stop.

use axum::{Router, body::Body, extract::ConnectInfo, http::StatusCode, routing::get};
use hyper::{Request, body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::GracefulShutdown},
};
use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};
use streamsync_telemetry::Metrics;
use streamsync_tls::Credentials;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    sync::Semaphore,
};
use tokio_util::sync::CancellationToken;
use tower::Service;

/// How many bytes the head of a request may have.
const HEAD_BYTES: usize = 64 << 10;
/// How often a silent HTTP/2 client is asked whether it is there, and how long its answer is waited
/// for.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_PATIENCE: Duration = Duration::from_secs(10);
/// How long is waited after a connection could not be accepted: there are too many open files.
const ACCEPT_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// More memory than routers, settlements and autoscalers take with default settings.
pub const EXPECTED_MEMORY: u64 = 3 << 29;

/// Why nothing is served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The address is taken or not this machine's.
    #[error("could not listen on {address}; is it in use? choose another with --listen")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The system does not tell of signals.
    #[error("could not wait for signals")]
    Signals(#[source] io::Error),
}

/// Listens on an address.
pub async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves `/metrics`, `/healthz` and `/readyz` in plain text until told to stop, and nothing without an
/// address. Where it cannot, everything that listens to `stop` is told to stop.
pub async fn observed(
    address: Option<SocketAddr>,
    metrics: Metrics,
    ready: impl Fn() -> bool + Clone + Send + Sync + 'static,
    stop: CancellationToken,
) -> Result<(), ServeError> {
    let Some(address) = address else {
        return Ok(());
    };
    let listening = listen(address).await;
    let (listener, address) = listening.inspect_err(|_| stop.cancel())?;
    tracing::info!(%address, "metrics and probes are served");
    let terms = Terms {
        credentials: None,
        head: Duration::from_secs(5),
        connections: 64,
        drain: Duration::ZERO,
    };
    let readiness = move || match ready() {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not ready\n"),
    };
    let routes = Router::new()
        .route("/metrics", get(async move || metrics.render()))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(async move || readiness()));
    serve(listener, routes, terms, stop).await;
    Ok(())
}

/// How connections are served.
#[derive(Clone)]
pub struct Terms {
    /// Without them in plain text.
    pub credentials: Option<Credentials>,
    /// How long the head of a request, and the beginning of TLS, may take.
    pub head: Duration,
    /// The most connections; more wait.
    pub connections: usize,
    /// How long requests under way may take once it is told to stop.
    pub drain: Duration,
}

/// Serves until `stop`, then lets requests under way end.
pub async fn serve(listener: TcpListener, routes: Router, terms: Terms, stop: CancellationToken) {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(terms.head)
        .max_buf_size(HEAD_BYTES);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEAD_BYTES as u32)
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_PATIENCE);
    let builder = Arc::new(builder);
    let places = Arc::new(Semaphore::new(terms.connections));
    let graceful = GracefulShutdown::new();
    loop {
        let accepting = async {
            let place = Arc::clone(&places).acquire_owned().await;
            (listener.accept().await, place)
        };
        let (accepted, place) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accepting => accepted,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "could not accept a connection");
                tokio::time::sleep(ACCEPT_AGAIN_AFTER).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "could not send small packets at once");
        }
        let (builder, routes) = (Arc::clone(&builder), routes.clone());
        let (watcher, terms) = (graceful.watcher(), terms.clone());
        tokio::spawn(async move {
            let _place = place;
            let served = match &terms.credentials {
                None => converse(&builder, stream, peer, routes, watcher).await,
                Some(credentials) => match secured(credentials, stream, terms.head).await {
                    Ok(stream) => converse(&builder, stream, peer, routes, watcher).await,
                    Err(error) => {
                        metrics::counter!("streamsync_tls_refused_total").increment(1);
                        tracing::warn!(%peer, %error, "a connection without a good certificate is refused");
                        Ok(())
                    }
                },
            };
            if let Err(error) = served {
                tracing::debug!(%peer, %error, "a connection broke");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(terms.drain, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("requests still run after the time for draining; leaving them");
    }
}

async fn secured(
    credentials: &Credentials,
    stream: TcpStream,
    patience: Duration,
) -> io::Result<impl AsyncRead + AsyncWrite + Unpin + Send + use<>> {
    let accepting = tokio::time::timeout(patience, credentials.accept(stream)).await;
    accepting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn converse<S>(
    builder: &auto::Builder<TokioExecutor>,
    stream: S,
    peer: SocketAddr,
    routes: Router,
    watcher: hyper_util::server::graceful::Watcher,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        let answering = routes.clone().call(request.map(Body::new));
        async move { Ok::<_, Infallible>(answering.await.unwrap_or_else(|never| match never {})) }
    });
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    watcher.watch(connection.into_owned()).await
}

/// Cancels the token at SIGINT or SIGTERM.
pub fn stop_on_signals(stop: CancellationToken) -> Result<(), ServeError> {
    let mut interrupt = signal(SignalKind::interrupt()).map_err(ServeError::Signals)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(ServeError::Signals)?;
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        tracing::info!("stopping");
        stop.cancel();
    });
    Ok(())
}

/// Cancels the token when standard input ends: when the process that started this one is gone.
pub fn stop_with_stdin(stop: CancellationToken) {
    // A thread of its own that nobody waits for. One of the runtime's would keep a process that ends for
    // another reason alive until its input ends as well.
    std::thread::spawn(move || {
        let _ended = io::copy(&mut io::stdin().lock(), &mut io::sink());
        stop.cancel();
    });
}
