//! Moving evidence and the administrative log from Redis into the lake, where nothing is forgotten.

mod acts;
mod evidence;

use crate::Router;
use arrow::{array::RecordBatch, error::ArrowError};
use std::{error::Error, time::Duration};
use streamsync_lake::{Append, AppendError, CreateTableError, Lake, Table, TransactionId, tables};
use streamsync_registry::{Act, Evidence, Pending, Registry, RegistryError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The milliseconds of a UTC day.
const DAY_MS: u64 = 86_400_000;

/// How often it is looked whether there is something to archive.
const EVERY: Duration = Duration::from_secs(10);
/// For how long a router that archives keeps others from it.
const LEASE: Duration = Duration::from_secs(60);
/// How much is archived in one commit.
const AT_ONCE: usize = 1_000;

/// Entries of a stream that go into a table of the lake.
trait Archived: Sized {
    /// The lease of the one who does it, and the application id of its Delta transactions.
    const JOB: &'static str;
    const TABLE: &'static str;

    /// The oldest entries: the same ones until they are forgotten.
    async fn pending(registry: &Registry, most: usize)
    -> Result<Vec<Pending<Self>>, RegistryError>;

    /// Forgets entries up to and including one.
    async fn forget(registry: &Registry, last: &str) -> Result<(), RegistryError>;

    fn rows(table: &Table, pending: &[Pending<Self>]) -> Result<RecordBatch, ArrowError>;
}

/// Why something could not be archived. It stays in Redis, and the next attempt is made later.
#[derive(Debug, thiserror::Error)]
enum ArchiveError {
    #[error("could not take entries from the registry")]
    Registry(#[from] RegistryError),
    #[error("could not open the table in the lake")]
    Open(#[from] CreateTableError),
    #[error("could not write rows")]
    Rows(#[from] ArrowError),
    #[error("could not add rows to the lake")]
    Append(#[from] AppendError),
    #[error("the entry {0} was made by a newer version; run that one to archive it")]
    Newer(String),
}

/// Archives evidence and the administrative log until told to stop. Any number of routers may: one
/// of them does it at a time, and what two of them archive is in the lake once, as its place in the
/// stream is the number of the Delta transaction.
pub async fn archive_until(
    stop: CancellationToken,
    router: Router,
    lake: Lake,
    registry: Registry,
) {
    let holder = Uuid::from_bytes(*router.query_id().as_bytes());
    let mut turns = tokio::time::interval(EVERY);
    turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failed = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            _ = turns.tick() => {}
        }
        let evidence = archive::<Evidence>(&lake, &registry, holder).await;
        let done = evidence.and(archive::<Act>(&lake, &registry, holder).await);
        if let Err(error) = &done
            && !failed
        {
            tracing::warn!(error = error as &dyn Error, "could not archive");
        }
        failed = done.is_err();
    }
    for job in [Evidence::JOB, Act::JOB] {
        if let Err(error) = registry.release(job, holder).await {
            tracing::debug!(error = &error as &dyn Error, "could not give a lease back");
        }
    }
}

async fn archive<T: Archived>(
    lake: &Lake,
    registry: &Registry,
    holder: Uuid,
) -> Result<(), ArchiveError> {
    loop {
        if registry.lease(T::JOB, holder, LEASE).await?.is_none() {
            return Ok(());
        }
        let pending = T::pending(registry, AT_ONCE).await?;
        let Some(last) = pending.last().map(|one| one.id.clone()) else {
            return Ok(());
        };
        if let Some(unknown) = pending.iter().find(|one| one.entry.is_none()) {
            return Err(ArchiveError::Newer(unknown.id.clone()));
        }
        let Some(definition) = tables::definition(T::TABLE) else {
            return Ok(());
        };
        let table = lake.create_table(definition).await?;
        let append = Append {
            batches: vec![T::rows(&table, &pending)?],
            covers: None,
            transaction: Some(TransactionId {
                app_id: T::JOB.to_owned(),
                version: version(&last),
            }),
        };
        table.append(append).await?;
        T::forget(registry, &last).await?;
        metrics::counter!("streamsync_router_archived_total", "table" => T::TABLE)
            .increment(pending.len() as u64);
    }
}

/// A place in the stream as one ascending number: the milliseconds, and a million places for what
/// came in the same one.
fn version(id: &str) -> i64 {
    let (millis, number) = id.split_once('-').unwrap_or((id, "0"));
    let millis: i64 = millis.parse().unwrap_or_default();
    let number: i64 = number.parse().unwrap_or_default();
    millis
        .saturating_mul(1 << 20)
        .saturating_add(number.min((1 << 20) - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_ascend_with_the_stream() {
        let ids = ["5-0", "5-1", "5-1000", "6-0", "1795251286874-0"];
        let versions = ids.map(version);
        assert!(
            versions.is_sorted_by(|one, other| one < other),
            "{versions:?}"
        );
        assert!(versions[0] > 0);
    }
}
