//! Rows of the administrative log.

use super::{Archived, DAY_MS};
use arrow::{
    array::{ArrayRef, Date32Array, RecordBatch, StringArray, TimestampMicrosecondArray},
    error::ArrowError,
};
use std::sync::Arc;
use streamsync_lake::Table;
use streamsync_registry::{Act, Pending, Registry, RegistryError};

impl Archived for Act {
    const JOB: &'static str = "archive-admin-log";
    const TABLE: &'static str = "admin_log";

    async fn pending(
        registry: &Registry,
        most: usize,
    ) -> Result<Vec<Pending<Self>>, RegistryError> {
        registry.acts_to_archive(most).await
    }

    async fn forget(registry: &Registry, last: &str) -> Result<(), RegistryError> {
        registry.acts_archived(last).await
    }

    fn rows(table: &Table, pending: &[Pending<Self>]) -> Result<RecordBatch, ArrowError> {
        let acts: Vec<&Act> = pending
            .iter()
            .filter_map(|one| one.entry.as_ref())
            .collect();
        let text = |of: &dyn Fn(&Act) -> String| -> ArrayRef {
            Arc::new(StringArray::from_iter_values(
                acts.iter().map(|act| of(act)),
            ))
        };
        let days = acts.iter().map(|act| (act.at_ms / DAY_MS) as i32);
        let times = acts.iter().map(|act| (act.at_ms * 1_000) as i64);
        let columns: Vec<ArrayRef> = vec![
            Arc::new(Date32Array::from_iter_values(days)),
            Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
            text(&|act| act.actor.clone()),
            text(&|act| act.from.clone()),
            text(&|act| act.action.clone()),
            text(&|act| act.subject.clone()),
            text(&|act| act.detail.to_string()),
        ];
        RecordBatch::try_new(table.schema(), columns)
    }
}
