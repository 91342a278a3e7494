//! Moving evidence from Redis into the lake, where anyone can read it and nothing is forgotten.

use crate::Router;
use arrow::{
    array::{
        ArrayRef, Date32Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    },
    error::ArrowError,
};
use std::{collections::BTreeMap, error::Error, sync::Arc, time::Duration};
use streamsync_core::Outcome;
use streamsync_lake::{Append, AppendError, CreateTableError, Lake, Table, TransactionId, tables};
use streamsync_registry::{Evidence, Offence, Pending, Registry, RegistryError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How often it is looked whether there is something to archive.
const EVERY: Duration = Duration::from_secs(10);
/// For how long a router that archives keeps others from it.
const LEASE: Duration = Duration::from_secs(60);
/// How much is archived in one commit.
const AT_ONCE: usize = 1_000;
const JOB: &str = "archive-evidence";
const TABLE: &str = "evidence";
const DAY_MS: u64 = 86_400_000;

/// Why evidence could not be archived. It stays in Redis, and the next attempt is made later.
#[derive(Debug, thiserror::Error)]
enum ArchiveError {
    #[error("could not take evidence from the registry")]
    Registry(#[from] RegistryError),
    #[error("could not open the lake's table of evidence")]
    Open(#[from] CreateTableError),
    #[error("could not write rows of evidence")]
    Rows(#[from] ArrowError),
    #[error("could not add evidence to the lake")]
    Append(#[from] AppendError),
    #[error("evidence {0} was filed by a newer version; run that one to archive it")]
    Newer(String),
}

/// Archives evidence until told to stop. Any number of routers may: one of them does it at a time,
/// and evidence that two of them archive is in the lake once, as its place in the stream is the
/// number of the Delta transaction.
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
        let done = archive(&lake, &registry, holder).await;
        if let Err(error) = &done
            && !failed
        {
            tracing::warn!(error = error as &dyn Error, "could not archive evidence");
        }
        failed = done.is_err();
    }
    if let Err(error) = registry.release(JOB, holder).await {
        tracing::debug!(error = &error as &dyn Error, "could not give a lease back");
    }
}

async fn archive(lake: &Lake, registry: &Registry, holder: Uuid) -> Result<(), ArchiveError> {
    loop {
        if registry.lease(JOB, holder, LEASE).await?.is_none() {
            return Ok(());
        }
        let filed = registry.evidence_to_archive(AT_ONCE).await?;
        let Some(last) = filed.last().map(|filed| filed.id.clone()) else {
            return Ok(());
        };
        if let Some(unknown) = filed.iter().find(|filed| filed.entry.is_none()) {
            return Err(ArchiveError::Newer(unknown.id.clone()));
        }
        let Some(definition) = tables::definition(TABLE) else {
            return Ok(());
        };
        let table = lake.create_table(definition).await?;
        let append = Append {
            batches: vec![rows(&table, &filed)?],
            covers: None,
            transaction: Some(TransactionId {
                app_id: JOB.to_owned(),
                version: version(&last),
            }),
        };
        table.append(append).await?;
        registry.evidence_archived(&last).await?;
        metrics::counter!("streamsync_router_archived_evidence_total")
            .increment(filed.len() as u64);
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

fn rows(table: &Table, filed: &[Pending<Evidence>]) -> Result<RecordBatch, ArrowError> {
    let mut rows = Vec::new();
    for evidence in filed.iter().filter_map(|filed| filed.entry.as_ref()) {
        let json = serde_json::to_string(evidence)
            .map_err(|error| ArrowError::JsonError(error.to_string()))?;
        for (worker, offence) in &evidence.accused {
            rows.push((evidence, worker, *offence, json.clone()));
        }
    }
    type Row<'a> = (&'a Evidence, &'a streamsync_core::WorkerId, Offence, String);
    let text = |of: &dyn Fn(&Row<'_>) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
    };
    let days = rows.iter().map(|row| (row.0.at_ms / DAY_MS) as i32);
    let times = rows.iter().map(|row| (row.0.at_ms * 1_000) as i64);
    let answers = rows.iter().map(|row| answer(row.0, row.1));
    let against = rows.iter().map(|row| contradicted_by(row.0));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Date32Array::from_iter_values(days)),
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        text(&|row| row.1.to_string()),
        text(&|row| row.2.name().to_owned()),
        text(&|row| row.0.query.id.to_string()),
        text(&|row| row.0.query.snapshot.to_string()),
        text(&|row| row.0.query.sql.clone()),
        Arc::new(StringArray::from_iter(answers)),
        Arc::new(Int32Array::from_iter_values(against)),
        text(&|row| row.3.clone()),
    ];
    RecordBatch::try_new(table.schema(), columns)
}

fn answer(evidence: &Evidence, worker: &streamsync_core::WorkerId) -> Option<String> {
    let mut answers = evidence.answers.iter();
    let own = answers.find(|answer| answer.worker == *worker)?;
    Some(match own.outcome {
        Outcome::Rows { digest, rows } => format!("{rows} rows, digest {digest}"),
        Outcome::Refused(refusal) => format!("refused: {refusal:?}"),
    })
}

fn contradicted_by(evidence: &Evidence) -> i32 {
    let mut votes: BTreeMap<String, i32> = BTreeMap::new();
    let honest = evidence.answers.iter();
    for answer in honest.filter(|answer| !evidence.accused.contains_key(&answer.worker)) {
        *votes.entry(format!("{:?}", answer.outcome)).or_default() += 1;
    }
    votes.into_values().max().unwrap_or_default()
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
