//! Making copies, again and again.

use super::{BackupError, Backups, described};
use crate::Router;
use std::time::Duration;
use streamsync_core::config::BackupConfig;
use streamsync_registry::{Registry, RegistryError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The lease of the router that makes them.
const JOB: &str = "backup";

/// Why no copy was made. It is tried again.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error("could not read what the registry holds")]
    Registry(#[from] RegistryError),
    #[error("could not keep a backup")]
    Backup(#[from] BackupError),
    /// A copy of it would be taken for the newest of what was lost.
    #[error(
        "Redis is not what the backup {0} is of: it was emptied, put back to an earlier state, or another has \
         taken its place. Stop the routers, empty it and put the backup back (`streamsync backup restore`), or \
         keep what there is now (`streamsync backup create`)"
    )]
    Lost(String),
}

/// What the last copy was of, and when it was made by the router's monotonic clock.
#[derive(Default)]
struct Last {
    newest_act: Option<String>,
    at: Option<Duration>,
}

/// Makes a copy soon after each administrative act, and from time to time, until told to stop. Any number
/// of routers may: one of them does it at a time.
pub async fn back_up_until(
    stop: CancellationToken,
    router: Router,
    backups: Backups,
    registry: Registry,
    config: BackupConfig,
) {
    if config.look_s == 0 {
        return;
    }
    let holder = Uuid::from_bytes(*router.query_id().as_bytes());
    let lease = Duration::from_secs(config.look_s * 3);
    let mut turns = tokio::time::interval(Duration::from_secs(config.look_s));
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut last = Last::default();
    let mut failed = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = turns.tick() => {}
        }
        let kept = async {
            if registry.lease(JOB, holder, lease).await?.is_none() {
                // Another does it; whoever comes after him looks first.
                last = Last::default();
                return Ok(());
            }
            keep(&router, &backups, &registry, &config, &mut last).await
        };
        let kept: Result<(), KeepError> = kept.await;
        if let Err(error) = &kept {
            metrics::counter!("streamsync_router_backup_failures_total").increment(1);
            if !failed {
                let error = described(error);
                tracing::error!(error, "no backup of Redis was made; it is tried again");
            }
        }
        failed = kept.is_err();
    }
    if let Err(error) = registry.release(JOB, holder).await {
        tracing::debug!(error = described(&error), "could not give a lease back");
    }
}

async fn keep(
    router: &Router,
    backups: &Backups,
    registry: &Registry,
    config: &BackupConfig,
    last: &mut Last,
) -> Result<(), KeepError> {
    let newest_act = registry.newest_act().await?;
    let now = router.clock().monotonic();
    let every = Duration::from_secs(config.every_s);
    let is_old = last.at.is_none_or(|at| now.saturating_sub(at) >= every);
    if newest_act == last.newest_act && !is_old {
        return Ok(());
    }
    let backup = registry.back_up().await?;
    let before = backups.list().await?.pop();
    if let Some(stored) = &before
        && !backup.follows(&backups.read(stored).await?)
    {
        return Err(KeepError::Lost(stored.file()));
    }
    let nothing_yet = before.is_none() && backup.is_empty();
    let written = match nothing_yet {
        true => None,
        false => Some(backups.write(&backup).await?),
    };
    *last = Last {
        newest_act: backup.newest_act,
        at: Some(now),
    };
    if let Some(written) = written {
        metrics::counter!("streamsync_router_backups_total").increment(1);
        metrics::gauge!("streamsync_router_last_backup_timestamp_seconds")
            .set(written.taken_ms as f64 / 1e3);
        backups
            .prune(&written, config.keep, config.keep_days)
            .await?;
    }
    Ok(())
}
