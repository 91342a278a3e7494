//! Telling the registry, each second, that the worker lives.

use crate::Worker;
use std::time::Duration;
use streamsync_registry::Registry;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Keeps a worker registered until told to stop, then deregisters it. Losing Redis is logged once
/// and survived.
pub async fn beat_until(
    stop: CancellationToken,
    worker: Worker,
    endpoint: Url,
    registry: Registry,
) {
    let mut reached = true;
    let interval = Duration::from_millis(worker.heartbeat(&endpoint).interval_ms);
    let mut turns = tokio::time::interval(interval);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = turns.tick() => {}
        }
        let heartbeat = worker.heartbeat(&endpoint);
        match registry.beat(worker.identity(), &heartbeat).await {
            Ok(kept) => {
                if !kept {
                    tracing::warn!(worker = %worker.id(), "another process beats with the same key pair");
                }
                if !reached {
                    tracing::info!(worker = %worker.id(), "the registry is back");
                }
                reached = true;
            }
            Err(error) => {
                if reached {
                    let error = &error as &dyn std::error::Error;
                    tracing::error!(worker = %worker.id(), error, "could not reach the registry");
                }
                reached = false;
            }
        }
    }
    if let Err(error) = registry.deregister(worker.id()).await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(worker = %worker.id(), error, "could not deregister");
    }
}
