//! Computing the rows of some times.

use super::{
    RollupError,
    affected::{Chunk, span_of},
    error::{lake, sql},
    text::{Text, empty_view, plain_time, quoted},
};
use crate::{Observer, Silent, merge::copies, scratch::Scratch, sorter::Sorter};
use duckdb::Connection;
use std::{collections::BTreeSet, path::PathBuf, sync::Arc};
use streamsync_core::{Level, PartitionValues, config::CompactorConfig};
use streamsync_lake::{DataFile, StagedFile, Table};
use tokio::runtime::Handle;

/// One computation.
pub(super) struct Computation<'a> {
    pub(super) table: &'a Table,
    pub(super) level: Level,
    pub(super) time_column: &'static str,
    pub(super) text: &'a Arc<Text>,
    pub(super) sources: &'a [Table],
    pub(super) chunk: &'a Chunk,
    pub(super) config: &'a CompactorConfig,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Computed {
    /// The files that hold the old rows of these times, and maybe others.
    pub(super) removed: Vec<DataFile>,
    /// Files with the new rows, and with the others of those files.
    pub(super) staged: Vec<StagedFile>,
    pub(super) rows: u64,
}

impl Computation<'_> {
    pub(super) async fn run(&self, scratch: &Scratch) -> Result<Computed, RollupError> {
        if self.chunk.starts.is_empty() {
            return Ok(Computed::default());
        }
        let folder = scratch.folder()?;
        let observer: Arc<dyn Observer> = Arc::new(Silent);
        let mut views = Vec::new();
        for source in self.sources {
            let files = self.files(source, self.time_column).await?;
            let name = source.name().as_str();
            let copied = copies(source, &files, &folder.path().join(name), &observer).await?;
            views.push(view(name, &copied).unwrap_or_else(|| empty_view(source)));
        }
        let removed = self.files(self.table, "time").await?;
        let copied = copies(self.table, &removed, &folder.path().join("old"), &observer).await?;
        views.push(view("old", &copied).unwrap_or_else(|| {
            let empty = empty_view(self.table);
            empty.replacen(&quoted(self.table.name().as_str()), "old", 1)
        }));

        let computing = Computing {
            table: self.table.clone(),
            text: Arc::clone(self.text),
            starts: self.chunk.starts.clone(),
            views,
            target_bytes: self.config.target_file_bytes,
            runtime: Handle::current(),
        };
        let path = folder.path().to_owned();
        let (memory, threads) = (self.config.memory_bytes, self.config.threads);
        let computed = tokio::task::spawn_blocking(move || {
            let mut staged = Vec::new();
            let sorter = Sorter::open(&path, memory, threads)
                .map_err(|source| sql(computing.table.name(), source))?;
            let done = computing.run(sorter.connection(), &mut staged);
            if done.is_err() {
                computing.runtime.block_on(computing.table.discard(&staged));
            }
            done.map(|()| staged)
        });
        let staged = computed.await??;
        Ok(Computed {
            removed,
            rows: staged.iter().map(StagedFile::rows).sum(),
            staged,
        })
    }

    /// The files that may hold rows of the times.
    async fn files(&self, table: &Table, time_column: &str) -> Result<Vec<DataFile>, RollupError> {
        let files = table.files().await;
        let files = files.map_err(|error| lake(table.name(), error))?;
        let holds = |file: &&DataFile| {
            let Some((low, high)) = span_of(file, time_column) else {
                return false;
            };
            // The first time that ends after the file begins.
            let from = self.level.start(low).unwrap_or(i64::MIN);
            self.chunk
                .starts
                .range(from..=high.max(from))
                .next()
                .is_some()
        };
        Ok(files.iter().filter(holds).cloned().collect())
    }
}

/// What is done on a thread of its own.
struct Computing {
    table: Table,
    text: Arc<Text>,
    starts: BTreeSet<i64>,
    views: Vec<String>,
    target_bytes: u64,
    runtime: Handle,
}

impl Computing {
    fn run(
        &self,
        connection: &Connection,
        staged: &mut Vec<StagedFile>,
    ) -> Result<(), RollupError> {
        let name = self.table.name();
        let failed = |source| sql(name, source);
        self.prepare(connection).map_err(failed)?;
        for date in self.dates(connection).map_err(failed)? {
            let partition: PartitionValues = [("date".to_owned(), Some(date.clone()))].into();
            let writer = self.table.sorted_writer(&partition, 0, self.target_bytes);
            let mut writer = self
                .runtime
                .block_on(writer)
                .map_err(|error| lake(name, error))?;
            let mut stage = |files: Vec<streamsync_lake::NewFile>| {
                for file in files {
                    let file = self.runtime.block_on(self.table.stage(file));
                    staged.push(file.map_err(|error| lake(name, error))?);
                }
                Ok::<(), RollupError>(())
            };
            let mut statement = connection.prepare(&self.rows_of(&date)).map_err(failed)?;
            let _ = statement.stream_arrow([]).map_err(failed)?;
            while let Some(rows) = statement.step().map_err(failed)? {
                let rows = arrow::array::RecordBatch::from(&rows);
                stage(writer.write(&rows).map_err(|error| lake(name, error))?)?;
            }
            let (last, _) = writer.finish().map_err(|error| lake(name, error))?;
            stage(last)?;
        }
        Ok(())
    }

    /// The rows that are computed anew, as table `fresh`, and the times, as `affected`.
    fn prepare(&self, connection: &Connection) -> Result<(), duckdb::Error> {
        for view in &self.views {
            connection.execute_batch(view)?;
        }
        let starts: Vec<String> = self.starts.iter().map(i64::to_string).collect();
        connection.execute_batch(&format!(
            "CREATE TABLE affected AS SELECT make_timestamp(unnest([{}]::BIGINT[])) AS \"time\"; \
             CREATE TABLE fresh AS {}",
            starts.join(", "),
            self.text.fresh("IN (SELECT \"time\" FROM affected)")
        ))
    }

    /// The days of the partitions that are written.
    fn dates(&self, connection: &Connection) -> Result<Vec<String>, duckdb::Error> {
        let mut statement = connection.prepare(&format!(
            "SELECT DISTINCT CAST(CAST(\"time\" AS DATE) AS VARCHAR) FROM ({}) ORDER BY 1",
            self.all()
        ))?;
        let dates = statement.query_map([], |row| row.get(0))?;
        dates.collect()
    }

    fn rows_of(&self, date: &str) -> String {
        format!(
            "SELECT * FROM ({}) WHERE CAST(\"time\" AS DATE) = DATE '{date}' ORDER BY {}",
            self.all(),
            self.text.order().join(", ")
        )
    }

    /// The new rows, and the old ones of other times that are in the same files.
    fn all(&self) -> String {
        let columns = self.text.columns();
        let time = plain_time("\"time\"");
        let others = columns.get(1..).unwrap_or_default().join(", ");
        format!(
            "SELECT {} FROM fresh UNION ALL SELECT {time} AS \"time\", {others} FROM old \
             WHERE {time} NOT IN (SELECT \"time\" FROM affected)",
            columns.join(", ")
        )
    }
}

/// A view of some files; `None` without files.
fn view(name: &str, files: &[PathBuf]) -> Option<String> {
    let files: Vec<String> = files
        .iter()
        .map(|file| format!("'{}'", file.to_string_lossy().replace('\'', "''")))
        .collect();
    (!files.is_empty()).then(|| {
        format!(
            "CREATE VIEW {} AS SELECT * FROM read_parquet([{}], hive_partitioning = false, \
             union_by_name = true)",
            quoted(name),
            files.join(", ")
        )
    })
}
