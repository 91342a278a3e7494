//! Sorting the rows of many files with DuckDB, in bounded memory.

use arrow::array::RecordBatch;
use duckdb::{Config, Connection, InterruptHandle};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use streamsync_lake::Table;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

/// How often work that is to stop is told so.
const INTERRUPT_EVERY: Duration = Duration::from_millis(50);

/// A DuckDB that reads Parquet files of one folder and some others, and spills into the folder.
pub(crate) struct Sorter {
    connection: Connection,
}

impl Sorter {
    pub(crate) fn open(
        folder: &Path,
        others: &[PathBuf],
        memory_bytes: u64,
        threads: usize,
    ) -> Result<Self, duckdb::Error> {
        let mut settings = Config::default()
            .max_memory(&format!("{memory_bytes}B"))?
            .enable_autoload_extension(false)?
            .with("autoinstall_known_extensions", "false")?
            // The order comes from ORDER BY.
            .with("preserve_insertion_order", "false")?
            .with("temp_directory", folder.join("spill").to_string_lossy())?;
        if threads > 0 {
            settings = settings.threads(i64::try_from(threads).unwrap_or(1))?;
        }
        let connection = Connection::open_in_memory_with_flags(settings)?;
        let folder = quoted(&folder.to_string_lossy());
        let others = others.iter().map(|path| quoted(&path.to_string_lossy()));
        let others = others.collect::<Vec<_>>().join(", ");
        connection.execute_batch(&format!(
            "SET allowed_directories = [{folder}]; SET allowed_paths = [{others}]; \
             SET enable_external_access = false; SET lock_configuration = true;"
        ))?;
        Ok(Self { connection })
    }

    /// Does work on a thread that may wait, and ends it early when it is to stop: then what DuckDB is
    /// doing fails.
    pub(crate) async fn work<T: Send + 'static>(
        self,
        stop: &CancellationToken,
        work: impl FnOnce(&Connection) -> T + Send + 'static,
    ) -> Result<T, JoinError> {
        let interrupt = self.interrupt_handle();
        let mut working = tokio::task::spawn_blocking(move || work(&self.connection));
        tokio::select! {
            biased;
            done = &mut working => return done,
            () = stop.cancelled() => {}
        }
        loop {
            // Again and again: an interruption between two statements ends neither.
            interrupt.interrupt();
            if let Ok(done) = tokio::time::timeout(INTERRUPT_EVERY, &mut working).await {
                return done;
            }
        }
    }

    /// By which a sort is stopped from another thread.
    pub(crate) fn interrupt_handle(&self) -> Arc<InterruptHandle> {
        self.connection.interrupt_handle()
    }

    /// Hands all rows of the files to `take`, in the order of these columns, until it refuses more.
    pub(crate) fn sort<E: From<duckdb::Error>>(
        &self,
        table: &Table,
        files: &[PathBuf],
        order: &[String],
        mut take: impl FnMut(RecordBatch) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut statement = self.connection.prepare(&text(table, files, order))?;
        let _ = statement.stream_arrow([])?;
        // Not the iterator that `stream_arrow` returns: it panics where this returns the error.
        while let Some(rows) = statement.step()? {
            take(RecordBatch::from(&rows))?;
        }
        Ok(())
    }
}

fn text(table: &Table, files: &[PathBuf], order: &[String]) -> String {
    let list = |parts: Vec<String>| parts.join(", ");
    let schema = table.schema();
    let columns = schema
        .fields()
        .iter()
        .filter(|field| !table.partition_columns().contains(field.name()))
        .map(|field| format!("\"{}\"", field.name()));
    let files = files.iter().map(|file| quoted(&file.to_string_lossy()));
    let order: Vec<String> = order.iter().map(|column| format!("\"{column}\"")).collect();
    let order = match order.is_empty() {
        true => String::new(),
        false => format!(" ORDER BY {}", list(order)),
    };
    format!(
        "SELECT {} FROM read_parquet([{}], hive_partitioning = false){order}",
        list(columns.collect()),
        list(files.collect()),
    )
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
