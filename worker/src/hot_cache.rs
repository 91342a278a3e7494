//! The hot cache: files of the lake as native DuckDB tables, within a budget of bytes.
//!
//! A file never changes once it is in the lake, so a cached one is valid for ever, and a new
//! snapshot costs only the files that it adds. Which files stay is decided by frequency and
//! recency of use (W-TinyLFU), so that one big scan does not push the others out.

use crate::engine::Engine;
use arrow::error::ArrowError;
use futures::{StreamExt, TryStreamExt, stream};
use moka::future::Cache;
use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};
use streamsync_core::TableName;
use streamsync_lake::{DataFile, ReadFileError, Table};

/// How many files of one query are pulled at once.
const PARALLEL_PULLS: usize = 8;

/// Why a file is not in the cache.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It could not be pulled from the lake.
    #[error("could not pull a file of the lake")]
    Pull(#[from] ReadFileError),
    /// DuckDB does not take it.
    #[error("could not load a file of the lake into DuckDB")]
    Load(#[from] duckdb::Error),
    /// Its columns could not be brought into DuckDB's types.
    #[error("could not convert a file of the lake for DuckDB")]
    Convert(#[from] ArrowError),
    /// The loading was broken off.
    #[error("loading a file of the lake was broken off")]
    BrokenOff(#[from] tokio::task::JoinError),
}

/// A file of the lake as a native table. The table lives as long as this does.
pub(crate) struct LoadedFile {
    /// The table's name in DuckDB; never used twice.
    pub(crate) name: String,
    bytes: u64,
    engine: Arc<Engine>,
}

impl Drop for LoadedFile {
    fn drop(&mut self) {
        metrics::counter!("streamsync_cache_dropped_bytes_total").increment(self.bytes);
        let (engine, name) = (Arc::clone(&self.engine), std::mem::take(&mut self.name));
        // Not on a thread that answers others; without a runtime the process is ending anyway.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || engine.drop_table(&name));
        }
    }
}

/// The files that a worker has at hand.
#[derive(Clone)]
pub(crate) struct HotCache {
    engine: Arc<Engine>,
    files: Cache<(TableName, String), Arc<LoadedFile>>,
    names: Arc<AtomicU64>,
}

impl HotCache {
    /// An empty cache that holds at most this many bytes, counted as Arrow in memory.
    pub(crate) fn new(engine: Arc<Engine>, budget: u64) -> Self {
        let files = Cache::builder()
            .max_capacity(budget)
            .weigher(|_, file: &Arc<LoadedFile>| u32::try_from(file.bytes).unwrap_or(u32::MAX))
            .build();
        Self {
            engine,
            files,
            names: Arc::default(),
        }
    }

    /// The bytes that it holds.
    pub(crate) fn bytes(&self) -> u64 {
        self.files.weighted_size()
    }

    /// Files of a table, pulled from the lake where they are not at hand. However many queries
    /// miss one file, it is pulled once.
    pub(crate) async fn load(
        &self,
        table: &Table,
        files: Vec<DataFile>,
    ) -> Result<Vec<Arc<LoadedFile>>, Arc<LoadError>> {
        // Owned parts, so that the future may move between threads.
        let (cache, table) = (self.clone(), table.clone());
        stream::iter(files)
            .map(move |file| {
                let (cache, table) = (cache.clone(), table.clone());
                async move {
                    let key = (table.name().clone(), file.path.clone());
                    cache
                        .files
                        .try_get_with(key, cache.pull(&table, &file))
                        .await
                }
            })
            .buffered(PARALLEL_PULLS)
            .try_collect()
            .await
    }

    async fn pull(&self, table: &Table, file: &DataFile) -> Result<Arc<LoadedFile>, LoadError> {
        let batches = table.read(file).await?;
        metrics::counter!("streamsync_cache_pulled_files_total").increment(1);
        metrics::counter!("streamsync_cache_pulled_bytes_total").increment(file.size);
        let bytes = batches
            .iter()
            .map(|batch| batch.get_array_memory_size() as u64)
            .sum();
        let name = format!("file_{}", self.names.fetch_add(1, Ordering::Relaxed));
        let engine = Arc::clone(&self.engine);
        let schema = table.schema();
        tokio::task::spawn_blocking(move || {
            engine.load(&name, &schema, batches)?;
            Ok(Arc::new(LoadedFile {
                name,
                bytes,
                engine,
            }))
        })
        .await?
    }
}
