//! Rows of evidence.

use super::{Archived, DAY_MS};
use arrow::{
    array::{
        ArrayRef, Date32Array, Int32Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    },
    error::ArrowError,
};
use std::{collections::BTreeMap, sync::Arc};
use streamsync_core::Outcome;
use streamsync_lake::Table;
use streamsync_registry::{Evidence, Offence, Pending, Registry, RegistryError};

impl Archived for Evidence {
    const JOB: &'static str = "archive-evidence";
    const TABLE: &'static str = "evidence";

    async fn pending(
        registry: &Registry,
        most: usize,
    ) -> Result<Vec<Pending<Self>>, RegistryError> {
        registry.evidence_to_archive(most).await
    }

    async fn forget(registry: &Registry, last: &str) -> Result<(), RegistryError> {
        registry.evidence_archived(last).await
    }

    fn rows(table: &Table, pending: &[Pending<Self>]) -> Result<RecordBatch, ArrowError> {
        rows(table, pending)
    }
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
