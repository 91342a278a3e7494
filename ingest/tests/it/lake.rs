//! Lakes for tests, and what is in them.

use arrow::{compute::concat_batches, record_batch::RecordBatch};
use std::{collections::BTreeMap, path::Path, sync::Arc};
use streamsync_core::{TableName, config::BucketConfig};
use streamsync_ingest::{IngestOptions, Report, Source, ingest, progress::Silent};
use streamsync_lake::{Lake, Table, tables};

/// The lake in a folder.
pub fn folder(path: &Path) -> Lake {
    let url = path.to_str().unwrap().to_owned();
    Lake::open(&BucketConfig {
        url,
        ..BucketConfig::default()
    })
    .unwrap()
}

/// Small batches, so that there are several commits.
pub fn options() -> IngestOptions {
    IngestOptions {
        max_batch_blocks: 4,
        ..IngestOptions::default()
    }
}

/// Ingests what cannot fail as a whole.
pub async fn fill(lake: &Lake, source: impl Source) -> Report {
    ingest(source, lake, options(), Arc::new(Silent))
        .await
        .unwrap()
}

pub async fn table(lake: &Lake, name: &str) -> Table {
    lake.table(&TableName::new(name).unwrap()).await.unwrap()
}

/// All rows of a table.
pub async fn rows(lake: &Lake, name: &str) -> RecordBatch {
    let table = table(lake, name).await;
    let mut batches = Vec::new();
    for file in table.files().await.unwrap().iter() {
        batches.extend(table.read(file).await.unwrap());
    }
    concat_batches(&table.schema(), &batches).unwrap()
}

/// Every row of every table as text, sorted, so that lakes can be compared.
pub async fn contents(lake: &Lake) -> BTreeMap<&'static str, Vec<String>> {
    let mut contents = BTreeMap::new();
    for definition in tables::chain() {
        let rows = rows(lake, definition.name).await;
        contents.insert(definition.name, lines(&rows));
    }
    contents
}

/// Rows as text, sorted.
pub fn lines(rows: &RecordBatch) -> Vec<String> {
    let mut writer = arrow::json::LineDelimitedWriter::new(Vec::new());
    writer.write(rows).unwrap();
    writer.finish().unwrap();
    let text = String::from_utf8(writer.into_inner()).unwrap();
    let mut lines: Vec<_> = text.lines().map(str::to_owned).collect();
    lines.sort();
    assert_eq!(lines.len(), rows.num_rows());
    lines
}

/// The number of rows of every table.
pub async fn counts(lake: &Lake) -> BTreeMap<&'static str, u64> {
    let mut counts = BTreeMap::new();
    for definition in tables::chain() {
        let table = table(lake, definition.name).await;
        let files = table.files().await.unwrap();
        let rows = files.iter().map(|file| file.rows.unwrap()).sum();
        counts.insert(definition.name, rows);
    }
    counts
}
