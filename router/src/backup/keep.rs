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
}

/// What the last copy was of.
#[derive(Default)]
struct Last {
    newest_act: Option<String>,
    taken_ms: u64,
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
    let age_ms = router.clock().unix_millis().saturating_sub(last.taken_ms);
    let is_old = age_ms >= config.every_s * 1_000;
    if newest_act == last.newest_act && !is_old {
        return Ok(());
    }
    let backup = registry.back_up().await?;
    // A Redis that has lost everything is no reason to let go of what there is.
    let is_empty = backup.keys.is_empty() && backup.accounts.is_empty();
    if !is_empty {
        backups.write(&backup).await?;
        backups.prune(config.keep, config.keep_days).await?;
        metrics::counter!("streamsync_router_backups_total").increment(1);
        metrics::gauge!("streamsync_router_last_backup_timestamp_seconds")
            .set(backup.taken_ms as f64 / 1e3);
    }
    *last = Last {
        newest_act: backup.newest_act,
        taken_ms: backup.taken_ms,
    };
    Ok(())
}
