//! Keeping the router's copies of the registry and of the lake's versions fresh.

use crate::{Catalog, Router, Spool, classify::day};
use futures::{StreamExt, future::try_join_all};
use std::{error::Error, pin::pin, time::Duration};
use streamsync_core::{Class, Partition, ROLLUP_DOMAIN, RollupState, TableName};
use streamsync_lake::{CoverageError, Lake, ListTablesError, OpenTableError, Table, tables};
use streamsync_registry::{News, Registry, TrustedGrants};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// Why the lake could not be looked at.
#[derive(Debug, thiserror::Error)]
enum LookError {
    #[error("could not list the tables of the lake")]
    List(#[from] ListTablesError),
    #[error("could not open a table of the lake")]
    Open(#[from] OpenTableError),
    #[error("could not read what a table of the lake says of itself")]
    Domain(#[from] CoverageError),
}

/// Keeps a router informed until told to stop. What cannot be reached is logged once, and asked
/// again.
pub async fn watch(
    stop: CancellationToken,
    router: Router,
    lake: Lake,
    registry: Registry,
    spool: Spool,
) {
    let telling = tell(&stop, &router, &registry, spool);
    let watching = async {
        tokio::select! {
            () = stop.cancelled() => {}
            () = watch_lake(&router, &lake) => {}
            () = watch_registry(&router, &registry) => {}
            () = tell_heat(&router, &registry) => {}
            () = set_prices(&router, &registry) => {}
        }
    };
    let accounting = async {
        if let Some(accounts) = router.accounts() {
            accounts.keep(&stop).await;
        }
    };
    tokio::join!(telling, watching, accounting);
}

async fn tell(stop: &CancellationToken, router: &Router, registry: &Registry, spool: Spool) {
    if let Some(outgoing) = router.take_outgoing() {
        let (stop, registry) = (stop.clone(), registry.clone());
        let config = router.race_config().clone();
        outgoing.pass_on(stop, registry, spool, config).await;
    }
}

/// Measures whether what the router stands on could be reached the last time.
fn reaches(what: &'static str, reached: bool) {
    metrics::gauge!("streamsync_router_reaches", "what" => what).set(f64::from(u8::from(reached)));
}

fn every(millis: u64) -> Interval {
    let mut turns = interval(Duration::from_millis(millis));
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    turns
}

/// Asks the registry for what changed, in turns, and at once when there is news.
async fn watch_registry(router: &Router, registry: &Registry) {
    let mut turns = every(router.config().registry_poll_ms);
    let mut trusted = TrustedGrants::default();
    let mut news = pin!(registry.all_news());
    let mut keys_since = 0;
    loop {
        tokio::select! {
            _ = turns.tick() => {}
            Some(news) = news.next() => if news == News::Lake {
                router.look();
                continue;
            }
        }
        watch_accounts(router, registry, &mut keys_since).await;
        let fleet = router.fleet();
        match registry.changes(fleet.cursor(), &mut trusted).await {
            Ok(changes) => {
                reaches("registry", true);
                if fleet.heard(changes) {
                    restore(router, registry).await;
                }
            }
            Err(error) => {
                reaches("registry", false);
                if fleet.lost() {
                    let error = &error as &dyn Error;
                    tracing::error!(error, "could not reach the registry; workers stay as known");
                }
            }
        }
        for (state, queries) in router.load() {
            metrics::gauge!("streamsync_router_queries", "state" => state).set(queries as f64);
        }
        let asked = fleet.roster().members().len();
        metrics::gauge!("streamsync_router_workers").set(asked as f64);
    }
}

/// For how long a changed key is learned anew, in milliseconds.
const CHANGED_AGAIN_MS: u64 = 5_000;

/// Learns which keys were changed, and what queries cost now. That Redis is away is said elsewhere.
async fn watch_accounts(router: &Router, registry: &Registry, since: &mut u64) {
    if let Some(accounts) = router.accounts()
        && let Ok((changed, now)) = registry.changed_keys(*since).await
    {
        for key in &changed {
            accounts.callers().forget(key).await;
        }
        // Again and again for a while: a key that was being looked up while it changed may come in
        // as it was before.
        *since = now.saturating_sub(CHANGED_AGAIN_MS);
    }
    if let Ok(multipliers) = registry.multipliers().await {
        router.market().set(multipliers);
    }
}

/// The lease of the router that sets the prices.
const PRICES: &str = "prices";

/// Lets prices follow the load. Any number of routers may: one of them does it at a time.
async fn set_prices(router: &Router, registry: &Registry) {
    let seconds = router.market().config().update_s;
    let holder = uuid::Uuid::from_bytes(*router.query_id().as_bytes());
    let mut turns = every(seconds * 1_000);
    loop {
        turns.tick().await;
        let lease = registry
            .lease(PRICES, holder, Duration::from_secs(seconds * 3))
            .await;
        if !matches!(lease, Ok(Some(_))) {
            continue;
        }
        let next = router.market().next(&router.fleet().roster());
        match registry.set_multipliers(&next).await {
            Ok(()) => router.market().set(next),
            Err(error) => tracing::debug!(error = &error as &dyn Error, "could not set prices"),
        }
        for (class, multiplier) in Class::ALL.iter().zip(next.0) {
            metrics::gauge!("streamsync_router_price_multiplier", "class" => class.name())
                .set(multiplier as f64 / 1e6);
        }
    }
}

/// Gives Redis back what it may have lost while it was away.
async fn restore(router: &Router, registry: &Registry) {
    let standings = router.fleet().standings();
    match registry.restore(&standings).await {
        Ok(0) => tracing::info!("the registry answers"),
        Ok(restored) => tracing::warn!(restored, "the registry had lost the standing of workers"),
        Err(error) => {
            let error = &error as &dyn Error;
            tracing::warn!(error, "could not restore the standing of workers");
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
        let telling = registry.heat(&counts, router.clock().unix_millis()).await;
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
        let why = tokio::select! {
            _ = turns.tick() => "turn",
            () = router.wanted_to_look() => "news",
        };
        metrics::counter!("streamsync_router_lake_looks_total", "why" => why).increment(1);
        let looked = look(router, lake).await;
        reaches("lake", looked.is_ok());
        match looked {
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
        .filter(|name| tables::is_public(name.as_str()))
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
    let mut newest = Vec::new();
    for table in &tables {
        // Whoever needs the list says what is wrong with it.
        let Ok(files) = table.files().await else {
            continue;
        };
        let days = files.iter().filter_map(|file| {
            day(&Partition {
                table: table.name().clone(),
                values: file.partition.clone(),
            })
        });
        newest.extend(days.max().map(|day| (table.name().clone(), day)));
    }
    let states = try_join_all(tables.iter().map(|table| rollup(table, &known))).await?;
    let mut catalog = Catalog::new(tables);
    for (table, state) in states.into_iter().flatten() {
        catalog.set_rollup(&table, state);
    }
    for (table, day) in newest {
        catalog.set_newest_day(&table, day);
    }
    Ok(catalog)
}

/// What a table says of itself, if it is one of a rollup.
async fn rollup(
    table: &Table,
    known: &Catalog,
) -> Result<Option<(TableName, RollupState)>, LookError> {
    if table.definition().is_some() {
        return Ok(None);
    }
    let name = table.name().clone();
    let same = known.table(name.as_str());
    if same.is_some_and(|known| known.version() == table.version()) {
        return Ok(known.rollup(&name).cloned().map(|state| (name, state)));
    }
    let state = table.domain(ROLLUP_DOMAIN).await?;
    // One of a later version of the compactor is a table like any other.
    let state = state.and_then(|text| serde_json::from_str(&text).ok());
    Ok(state.map(|state| (name, state)))
}
