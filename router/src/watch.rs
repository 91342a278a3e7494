//! Keeping the router's copies of the registry and of the lake's versions fresh.

use crate::{Catalog, Router};
use futures::future::try_join_all;
use std::{error::Error, time::Duration};
use streamsync_lake::{Lake, ListTablesError, OpenTableError, Table};
use streamsync_registry::Registry;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Why the lake could not be looked at.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("could not list the tables of the lake")]
    List(#[from] ListTablesError),
    #[error("could not open a table of the lake")]
    Open(#[from] OpenTableError),
}

/// Keeps a router informed until told to stop. What cannot be reached is logged once, and asked
/// again.
pub async fn watch(stop: CancellationToken, router: Router, lake: Lake, registry: Registry) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = watch_lake(&router, &lake) => {}
        () = watch_registry(&router, &registry) => {}
        () = tell_heat(&router, &registry) => {}
    }
}

fn every(millis: u64) -> Interval {
    let mut turns = interval(Duration::from_millis(millis));
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    turns
}

async fn watch_registry(router: &Router, registry: &Registry) {
    let mut turns = every(router.config().registry_poll_ms);
    loop {
        turns.tick().await;
        match registry.workers().await {
            Ok(workers) => router.fleet().heard(workers),
            Err(error) => {
                if router.fleet().lost() {
                    let error = &error as &dyn Error;
                    tracing::error!(error, "could not reach the registry; workers stay as known");
                }
            }
        }
    }
}

/// How often the registry is told what is asked for, in milliseconds.
const HEAT_EVERY_MS: u64 = 5_000;

async fn tell_heat(router: &Router, registry: &Registry) {
    let mut turns = every(HEAT_EVERY_MS);
    let mut told = true;
    loop {
        turns.tick().await;
        let counts = router.heat().take();
        if counts.is_empty() {
            continue;
        }
        let telling = registry.heat(&counts, router.unix_millis()).await;
        if let Err(error) = &telling
            && told
        {
            let error = error as &dyn Error;
            tracing::warn!(error, "could not tell which partitions are asked for");
        }
        told = telling.is_ok();
    }
}

async fn watch_lake(router: &Router, lake: &Lake) {
    let mut turns = every(router.config().snapshot_poll_ms);
    let mut seen = true;
    loop {
        turns.tick().await;
        match look(router, lake).await {
            Ok(catalog) => {
                seen = true;
                router.set_catalog(catalog);
            }
            Err(error) => {
                if seen {
                    let error = &error as &dyn Error;
                    tracing::error!(error, "could not look at the lake; versions stay as known");
                }
                seen = false;
            }
        }
    }
}

async fn look(router: &Router, lake: &Lake) -> Result<Catalog, LookError> {
    let known = router.catalog();
    let names = lake.table_names().await?;
    let tables = names
        .iter()
        .map(async |name| -> Result<Table, OpenTableError> {
            match known.table(name.as_str()) {
                Some(table) => table.refresh().await,
                None => lake.table(name).await,
            }
        });
    let tables = try_join_all(tables).await?;
    // Listed now, so that no query waits for it.
    let lists = try_join_all(tables.iter().map(Table::files)).await;
    if let Err(error) = lists {
        tracing::warn!(
            error = &error as &dyn Error,
            "could not list a table's files"
        );
    }
    Ok(Catalog::new(tables))
}
