//! Computing the rows of some times.

use super::{
    RollupError,
    affected::{Chunk, span_of},
    error::{lake, sql},
    text::{Text, plain_time},
};
use crate::{
    derived::{Derived, Views},
    scratch::Scratch,
    sorter::Sorter,
};
use duckdb::Connection;
use std::{collections::BTreeSet, sync::Arc};
use streamsync_core::{Level, PartitionValues, config::CompactorConfig};
use streamsync_lake::{DataFile, StagedFile, Table};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// One computation.
pub(super) struct Computation<'a> {
    pub(super) table: &'a Table,
    pub(super) level: Level,
    pub(super) time_column: &'static str,
    pub(super) text: &'a Arc<Text>,
    pub(super) sources: &'a [Table],
    pub(super) chunk: &'a Chunk,
    pub(super) config: &'a CompactorConfig,
    pub(super) stop: &'a CancellationToken,
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
        let mut views = Views::default();
        for source in self.sources {
            let files = self.files(source, self.time_column).await?;
            let name = source.name().as_str();
            views.add(name, source, &files, folder.path()).await?;
        }
        let removed = self.files(self.table, "time").await?;
        views
            .add("old", self.table, &removed, folder.path())
            .await?;

        let computing = Computing {
            derived: Derived {
                table: self.table.clone(),
                target_bytes: self.config.target_file_bytes,
                runtime: Handle::current(),
            },
            text: Arc::clone(self.text),
            starts: self.chunk.starts.clone(),
            views,
        };
        let (memory, threads) = (self.config.memory_bytes, self.config.threads);
        let sorter = Sorter::open(folder.path(), &computing.views.files, memory, threads)
            .map_err(|source| sql(self.table.name(), source))?;
        let computed = sorter.work(self.stop, move |connection| {
            let Derived { table, runtime, .. } = &computing.derived;
            let mut staged = Vec::new();
            let done = computing.run(connection, &mut staged);
            if done.is_err() {
                runtime.block_on(table.discard(&staged));
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
    derived: Derived,
    text: Arc<Text>,
    starts: BTreeSet<i64>,
    views: Views,
}

impl Computing {
    fn run(
        &self,
        connection: &Connection,
        staged: &mut Vec<StagedFile>,
    ) -> Result<(), RollupError> {
        let name = self.derived.table.name();
        let failed = |source| sql(name, source);
        self.prepare(connection).map_err(failed)?;
        for date in self.dates(connection).map_err(failed)? {
            let partition: PartitionValues = [("date".to_owned(), Some(date.clone()))].into();
            self.derived
                .write(connection, &self.rows_of(&date), &partition, staged)
                .map_err(Box::new)?;
        }
        Ok(())
    }

    /// The rows that are computed anew, as table `fresh`, and the times, as `affected`.
    fn prepare(&self, connection: &Connection) -> Result<(), duckdb::Error> {
        for view in &self.views.statements {
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
