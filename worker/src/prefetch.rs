//! Pulling what a worker owns before it is asked for.

use crate::Worker;
use futures::StreamExt;
use std::{error::Error, pin::pin, time::Duration};
use streamsync_core::{Partition, WorkerId, clock::SharedClock, config::Profile};
use streamsync_lake::tables::{self, PartitionBy};
use streamsync_registry::{Health, News, Registry, RegistryError, owners};
use tokio_util::sync::CancellationToken;

/// How often a worker looks for what it should have, besides when it hears of new versions.
pub const PREFETCH_EVERY: Duration = Duration::from_secs(10);
/// How many of the hottest partitions of a table are looked at.
const HOTTEST: usize = 256;

/// Why nothing could be pulled ahead.
#[derive(Debug, thiserror::Error)]
enum PrefetchError {
    #[error("could not ask the registry what to pull")]
    Registry(#[from] RegistryError),
    #[error("could not pull what is asked for most")]
    Load(#[from] crate::ExecuteError),
}

/// Pulls what the worker's profile asks for until told to stop: every so often, see [`PREFETCH_EVERY`],
/// and whenever the registry tells of a new version in the lake. What cannot be reached is logged once,
/// and tried again.
pub async fn prefetch_until(
    stop: CancellationToken,
    worker: Worker,
    profile: Profile,
    registry: Registry,
    clock: SharedClock,
    every: Duration,
) {
    if profile == Profile::Archive {
        return;
    }
    let mut turns = tokio::time::interval(every);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failed = false;
    let mut news = pin!(registry.all_news());
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = turns.tick() => {}
            Some(news) = news.next() => if news != News::Lake {
                continue;
            }
        }
        let turn = prefetch(&worker, profile, &registry, &clock);
        let Some(turn) = stop.run_until_cancelled(turn).await else {
            return;
        };
        if let Err(error) = &turn
            && !failed
        {
            tracing::warn!(error = error as &dyn Error, "could not pull ahead");
        }
        failed = turn.is_err();
    }
}

async fn prefetch(
    worker: &Worker,
    profile: Profile,
    registry: &Registry,
    clock: &SharedClock,
) -> Result<(), PrefetchError> {
    let mut workers = Vec::new();
    for known in registry.workers().await? {
        if known.health() == Health::Healthy {
            workers.push((known.heartbeat.worker, known.heartbeat.weight()));
        }
    }
    let mine = |partition: &Partition| is_owner(worker.id(), partition, &workers);
    for definition in tables::definitions() {
        let Ok(table) = definition.name.parse() else {
            continue;
        };
        let by_key = matches!(definition.partition_by, PartitionBy::Bucket(_));
        match profile {
            Profile::Archive => {}
            Profile::Speed if by_key => worker.pull_ahead(&table, mine, true).await?,
            Profile::Speed => {}
            Profile::Cache => {
                let now = clock.unix_millis();
                let hottest = registry.hottest(&table, HOTTEST, now).await?;
                let wanted = |partition: &Partition| hottest.contains(partition) && mine(partition);
                worker.pull_ahead(&table, wanted, false).await?;
            }
        }
    }
    Ok(())
}

fn is_owner(worker: WorkerId, partition: &Partition, workers: &[(WorkerId, f64)]) -> bool {
    owners(partition, workers.iter().copied()).contains(&worker)
}
