//! Serving HTTP until told to stop.

use axum::{Router, serve::ListenerExt};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    io::{AsyncReadExt, stdin},
    net::TcpListener,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

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
    /// Serving ended.
    #[error("could not go on serving")]
    Serve(#[source] io::Error),
}

/// Listens on an address.
pub async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), ServeError> {
    let failed = |source| ServeError::Listen { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    Ok((listener, bound))
}

/// Serves until `stop`, then lets requests under way end, for so long at the most.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    stop: CancellationToken,
    drain: Duration,
) -> Result<(), ServeError> {
    let listener = listener.tap_io(|connection| {
        if let Err(error) = connection.set_nodelay(true) {
            tracing::debug!(%error, "could not send small packets at once");
        }
    });
    let service = routes.into_make_service_with_connect_info::<SocketAddr>();
    let server =
        axum::serve(listener, service).with_graceful_shutdown(stop.clone().cancelled_owned());
    let late = async {
        stop.cancelled().await;
        tokio::time::sleep(drain).await;
    };
    tokio::select! {
        served = server => served.map_err(ServeError::Serve),
        () = late => {
            tracing::warn!("requests still run after the time for draining; leaving them");
            Ok(())
        }
    }
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
    tokio::spawn(async move {
        let mut byte = [0];
        while stdin().read(&mut byte).await.is_ok_and(|read| read > 0) {}
        stop.cancel();
    });
}
