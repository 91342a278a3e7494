//! Administrative acts that a copy may lack, as the lake knows them.

use arrow::{
    array::{AsArray, RecordBatch},
    datatypes::TimestampMicrosecondType,
};
use std::time::Duration;
use streamsync_core::TableName;
use streamsync_lake::{
    Constraint, ConstraintOp, Lake, ListFilesError, OpenTableError, ReadFileError, Scalar, prune,
    tables,
};

/// The table.
const TABLE: &str = "admin_log";
/// By how much the clocks of those who act may differ from Redis's.
const SKEW: Duration = Duration::from_secs(30);

/// Why they could not be listed.
#[derive(Debug, thiserror::Error)]
pub enum ActsError {
    /// The table could not be opened.
    #[error("could not open the administrative log in the lake")]
    Open(#[from] OpenTableError),
    /// Its files could not be listed.
    #[error("could not list the files of the administrative log")]
    List(#[from] ListFilesError),
    /// A file could not be read.
    #[error("could not read the administrative log")]
    Read(#[from] ReadFileError),
}

/// The acts since a time in milliseconds since 1970, a line each, in their order.
pub async fn acts_since(lake: &Lake, since_ms: u64) -> Result<Vec<String>, ActsError> {
    let (Ok(name), Some(definition)) = (TableName::new(TABLE), tables::definition(TABLE)) else {
        return Ok(Vec::new());
    };
    let table = match lake.table(&name).await {
        Ok(table) => table,
        Err(OpenTableError::NotFound { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    let since_us = (since_ms as i64 - SKEW.as_millis() as i64) * 1_000;
    let day = i32::try_from(since_us.div_euclid(86_400_000_000)).unwrap_or(0);
    let wanted = Constraint {
        column: "date".to_owned(),
        op: ConstraintOp::GtEq(Scalar::Date(day)),
    };
    let files = table.files().await?;
    let mut acts = Vec::new();
    for file in prune(definition, &files, &[wanted]) {
        for batch in table.read(file).await? {
            acts.extend(lines(&batch).filter(|(at, _)| *at >= since_us));
        }
    }
    acts.sort();
    Ok(acts.into_iter().map(|(_, line)| line).collect())
}

fn lines(batch: &RecordBatch) -> impl Iterator<Item = (i64, String)> {
    let text = |name: &str| {
        batch
            .column_by_name(name)
            .and_then(|column| column.as_string_opt::<i32>())
    };
    let times = batch
        .column_by_name("done_at")
        .and_then(|column| column.as_primitive_opt::<TimestampMicrosecondType>());
    let columns = (
        times,
        text("actor"),
        text("action"),
        text("subject"),
        text("detail"),
    );
    let mut lines = Vec::new();
    if let (Some(times), Some(actor), Some(action), Some(subject), Some(detail)) = columns {
        for row in 0..batch.num_rows() {
            let line = format!(
                "{} ms: {} {} {} {}",
                times.value(row) / 1_000,
                actor.value(row),
                action.value(row),
                subject.value(row),
                detail.value(row)
            );
            lines.push((times.value(row), line));
        }
    }
    lines.into_iter()
}
