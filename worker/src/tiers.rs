//! The tiers of the cache together: rows in memory, files on the disk, and the bucket.

use crate::{
    LoadError,
    disk::{Disk, LocalFile},
    file_key::FileKey,
    footers::Footers,
    memory::{Memory, Rows},
};
use arrow::array::RecordBatch;
use futures::{StreamExt, TryStreamExt, stream};
use moka::sync::Cache;
use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use streamsync_core::Scalar;
use streamsync_lake::{DataFile, OpenFile, Table};

/// How many files of one query are pulled at once.
const PARALLEL_PULLS: usize = 8;
/// The most pages that are read for a lookup; what needs more is a scan.
const MAX_LOOKUP_PAGES: usize = 64;
/// The most rows that are handed over for a lookup; what has more is a scan.
const MAX_LOOKUP_ROWS: usize = 16_384;
/// Of how many files the worker remembers that parts were read.
const REMEMBERED_FILES: u64 = 100_000;

/// The tiers of the cache. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Tiers {
    pub(crate) memory: Memory,
    pub(crate) disk: Disk,
    pub(crate) footers: Footers,
    /// The bytes that were read of files that are not on the disk.
    partly_read: Cache<FileKey, Arc<AtomicU64>>,
}

/// A file as a scan finds it.
pub(crate) enum Placed {
    /// On the disk.
    Local(Arc<LocalFile>),
    /// In the bucket only.
    Remote(DataFile),
}

impl Tiers {
    pub(crate) fn new(memory: Memory, disk: Disk, footers: Footers) -> Self {
        Self {
            memory,
            disk,
            footers,
            partly_read: Cache::new(REMEMBERED_FILES),
        }
    }

    /// The rows with these keys in the column that the table's files are sorted by, or a few more.
    /// `None` if there are too many of them for a lookup.
    pub(crate) async fn rows(
        &self,
        table: &Table,
        files: &[DataFile],
        sort_column: &'static str,
        keys: &[Scalar],
    ) -> Result<Option<Vec<RecordBatch>>, Arc<LoadError>> {
        let keys: HashSet<&Scalar> = keys.iter().collect();
        let mut wanted = Vec::new();
        for file in files {
            let key = FileKey::new(table, file);
            let open = self.footers.open(table, &key, file, None).await?;
            for (number, page) in open.pages().iter().enumerate() {
                let may_hold = |scalar: &&&Scalar| page.may_hold(scalar);
                let of_page: Vec<&Scalar> = keys.iter().filter(may_hold).copied().collect();
                if !of_page.is_empty() {
                    wanted.push((key.clone(), open.clone(), number, of_page));
                }
            }
            if wanted.len() > MAX_LOOKUP_PAGES {
                return Ok(None);
            }
        }
        let (mut found, mut rows) = (Vec::with_capacity(wanted.len()), 0);
        for (key, open, page, keys) in wanted {
            let page = self.page(table, &key, open, page, sort_column).await?;
            for batch in page.of(&keys) {
                rows += batch.num_rows();
                found.push(batch);
            }
            if rows > MAX_LOOKUP_ROWS {
                return Ok(None);
            }
        }
        Ok(Some(found))
    }

    async fn page(
        &self,
        table: &Table,
        key: &FileKey,
        open: OpenFile,
        page: usize,
        sort_column: &'static str,
    ) -> Result<Arc<Rows>, Arc<LoadError>> {
        if let Some(rows) = self.memory.get(key, page).await {
            hit("memory");
            return Ok(rows);
        }
        // Held until it is read: a copy that nobody holds may be removed.
        let copy = self.disk.get(key).await;
        let file = match &copy {
            Some(copy) => {
                hit("disk");
                open.copied_to(&copy.path)
                    .map_err(|error| Arc::new(LoadError::from(error)))?
            }
            None => {
                hit("bucket");
                self.read_partly(table, key, &open);
                open
            }
        };
        self.memory.load(key, page, file, sort_column).await
    }

    /// Notes that a page of a file is about to be read from the bucket. A file of which half has
    /// been read in this way is pulled whole.
    fn read_partly(&self, table: &Table, key: &FileKey, open: &OpenFile) {
        let file = open.file();
        let share = file.size / (open.pages().len() as u64).max(1);
        let read = self.partly_read.get_with_by_ref(key, Arc::default);
        let before = read.fetch_add(share, Ordering::Relaxed);
        metrics::counter!("streamsync_cache_pulled_bytes_total", "tier" => "memory")
            .increment(share);
        let half = file.size / 2;
        if before < half && before + share >= half {
            let (disk, table, key, file) =
                (self.disk.clone(), table.clone(), key.clone(), file.clone());
            tokio::spawn(async move {
                if let Err(error) = disk.pull(&table, &key, &file).await {
                    tracing::warn!(file = %key, %error, "could not pull a file that is read often");
                }
            });
        }
    }

    /// Pulls files to the disk, and their pages into memory if `pages`, as long as there is room
    /// that nothing else needs.
    pub(crate) async fn pull_ahead(
        &self,
        table: &Table,
        files: &[DataFile],
        pages: bool,
    ) -> Result<(), Arc<LoadError>> {
        let sort_column = table
            .definition()
            .and_then(|definition| definition.sort_by.first().copied());
        for file in files {
            let key = FileKey::new(table, file);
            let copy = if self.disk.has_room_for(file.size) {
                self.disk.pull(table, &key, file).await?
            } else {
                self.disk.get(&key).await
            };
            let Some(sort_column) = sort_column.filter(|_| pages) else {
                continue;
            };
            let open = self
                .footers
                .open(table, &key, file, copy.as_deref())
                .await?;
            for page in 0..open.pages().len() {
                if !self.memory.has_room() {
                    return Ok(());
                }
                self.memory
                    .load(&key, page, open.clone(), sort_column)
                    .await?;
            }
        }
        Ok(())
    }

    /// Brings the counts up to date, which otherwise follow with a little delay.
    pub(crate) async fn settle(&self) {
        self.memory.settle().await;
        self.disk.settle().await;
    }

    /// The files, on the disk where there is room for them and the scan needs enough of them.
    pub(crate) async fn place(
        &self,
        table: &Table,
        files: Vec<DataFile>,
        wants: Arc<dyn Fn(&str) -> bool + Send + Sync>,
    ) -> Result<Vec<Placed>, Arc<LoadError>> {
        stream::iter(files)
            .map(move |file| {
                let (tiers, table, wants) = (self.clone(), table.clone(), Arc::clone(&wants));
                async move { tiers.place_one(&table, file, wants.as_ref()).await }
            })
            .buffered(PARALLEL_PULLS)
            .try_collect()
            .await
    }

    async fn place_one(
        &self,
        table: &Table,
        file: DataFile,
        wants: &(dyn Fn(&str) -> bool + Send + Sync),
    ) -> Result<Placed, Arc<LoadError>> {
        /// A file of fewer bytes is pulled whole, whatever is needed of it.
        const SMALL_FILE: u64 = 16 << 20;
        let key = FileKey::new(table, &file);
        if let Some(copy) = self.disk.get(&key).await {
            hit("disk");
            return Ok(Placed::Local(copy));
        }
        hit("bucket");
        if file.size > SMALL_FILE {
            let open = self.footers.open(table, &key, &file, None).await?;
            let needed = open.bytes_of(wants);
            let read = self.partly_read.get_with_by_ref(&key, Arc::default);
            let before = read.fetch_add(needed, Ordering::Relaxed);
            if before + needed < file.size / 4 {
                return Ok(Placed::Remote(file));
            }
        }
        let pulled = self.disk.pull(table, &key, &file).await?;
        Ok(pulled.map_or(Placed::Remote(file), Placed::Local))
    }
}

fn hit(tier: &'static str) {
    metrics::counter!("streamsync_cache_reads_total", "tier" => tier).increment(1);
}
