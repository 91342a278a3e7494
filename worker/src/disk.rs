//! The warm tier: files of the lake, byte for byte, on the local disk, within a budget.
//!
//! Which files stay is decided by frequency and recency of use (W-TinyLFU), so that one big scan
//! does not push the others out. A quarter of the budget is kept free for files that are being
//! pulled, and for those that have lost their place while a query still reads them; a file for
//! which there is no room is read from the bucket instead.
//!
//! A copy is checked when it is made (size, ETag, footer) and remembered with its checksums. One
//! that has been touched since, or was found on the disk at the start, is compared with them before
//! it is used, and pulled again if it is not what it was.

use crate::{LoadError, disk_folder::DiskFolder, file_key::FileKey};
use moka::{
    Entry,
    future::Cache,
    ops::compute::{CompResult, Op},
};
use std::{
    fs::File,
    io::Read,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};
use streamsync_lake::{BLOCK_BYTES, BlockChecksums, DataFile, DownloadError, Table};

/// The weight of cached files is counted in these, because it has 32 bits.
const WEIGHT_BYTES: u64 = 1 << 10;

/// The files of the lake that are on the local disk. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Disk(Arc<Inner>);

struct Inner {
    folder: DiskFolder,
    budget: u64,
    space: Arc<Space>,
    files: Cache<FileKey, Arc<LocalFile>>,
}

/// The bytes on the disk, and whether files stay there when they are let go.
#[derive(Default)]
struct Space {
    used: AtomicU64,
    closing: AtomicBool,
}

/// A copy of a file of the lake. It stays on the disk as long as this lives.
pub(crate) struct LocalFile {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    checksums: BlockChecksums,
    /// What the file looked like when it was last found to be right.
    checked: Mutex<Option<Stamp>>,
    space: Arc<Space>,
    folder: DiskFolder,
}

/// What changes when somebody touches a file.
#[derive(Clone, Debug, Eq, PartialEq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Why a file is not pulled to the disk.
#[derive(Debug, thiserror::Error)]
enum PullError {
    #[error("there is no room on the disk")]
    NoRoom,
    #[error(transparent)]
    Load(Arc<LoadError>),
}

impl<E: Into<LoadError>> From<E> for PullError {
    fn from(error: E) -> Self {
        Self::Load(Arc::new(error.into()))
    }
}

impl Disk {
    /// The files in a folder, at most this many bytes of them.
    pub(crate) async fn open(folder: DiskFolder, budget: u64) -> std::io::Result<Self> {
        let files = Cache::builder()
            .max_capacity((budget / 4 * 3) / WEIGHT_BYTES)
            .weigher(|_, file: &Arc<LocalFile>| {
                u32::try_from(file.bytes.div_ceil(WEIGHT_BYTES)).unwrap_or(u32::MAX)
            })
            .eviction_listener(|_, file: Arc<LocalFile>, _| {
                metrics::counter!("streamsync_cache_evicted_bytes_total", "tier" => "disk")
                    .increment(file.bytes);
            })
            .build();
        let disk = Self(Arc::new(Inner {
            folder,
            budget,
            space: Arc::default(),
            files,
        }));
        for (key, found) in disk.0.folder.found()? {
            let Some(reserved) = disk.reserve(found.bytes).await else {
                disk.0.folder.remove(&found.path);
                continue;
            };
            let file = reserved.file(&disk, found.path, found.checksums, None);
            disk.0.files.insert(key, Arc::new(file)).await;
        }
        Ok(disk)
    }

    /// Brings the counts up to date.
    pub(crate) async fn settle(&self) {
        self.0.files.run_pending_tasks().await;
    }

    /// The bytes that it may hold.
    pub(crate) fn budget(&self) -> u64 {
        self.0.budget
    }

    /// The bytes that are on the disk.
    pub(crate) fn used(&self) -> u64 {
        self.0.space.used.load(Ordering::SeqCst)
    }

    /// Whether a file can come in without another going out.
    pub(crate) fn has_room_for(&self, bytes: u64) -> bool {
        self.used() + bytes <= self.0.budget / 2
    }

    /// A message of DuckDB without the path of the folder, if it names a copy there.
    pub(crate) fn without_folder(&self, message: &str) -> Option<String> {
        let folder = format!("{}/", self.0.folder.files().display());
        message
            .contains(&folder)
            .then(|| message.replace(&folder, ""))
    }

    /// The files that it keeps, with their bytes.
    pub(crate) fn held(&self) -> Vec<(FileKey, u64)> {
        let files = self.0.files.iter();
        files
            .map(|(key, file)| ((*key).clone(), file.bytes))
            .collect()
    }

    /// A file, if it is on the disk and as it should be.
    pub(crate) async fn get(&self, key: &FileKey) -> Option<Arc<LocalFile>> {
        let file = self.0.files.get(key).await?;
        let intact = if file.untouched() {
            true
        } else {
            let copy = Arc::clone(&file);
            tokio::task::spawn_blocking(move || copy.check())
                .await
                .unwrap_or(false)
        };
        if intact {
            return Some(file);
        }
        self.drop_damaged(key, &file).await;
        None
    }

    /// Checks a copy whatever it looks like, and lets go of it if it is not what it was.
    pub(crate) async fn check(&self, key: &FileKey, file: &Arc<LocalFile>) -> bool {
        let copy = Arc::clone(file);
        let intact = tokio::task::spawn_blocking(move || copy.check())
            .await
            .unwrap_or(false);
        if !intact {
            self.drop_damaged(key, file).await;
        }
        intact
    }

    /// Lets go of a damaged copy, unless another has taken its place.
    async fn drop_damaged(&self, key: &FileKey, file: &Arc<LocalFile>) {
        let this_one = |entry: Option<Entry<FileKey, Arc<LocalFile>>>| {
            let found = entry.is_some_and(|entry| Arc::ptr_eq(entry.value(), file));
            std::future::ready(if found { Op::Remove } else { Op::Nop })
        };
        let entry = self.0.files.entry_by_ref(key);
        if let CompResult::Removed(_) = entry.and_compute_with(this_one).await {
            tracing::warn!(file = %key, path = %file.path.display(),
                "a copy on the local disk is damaged; the file is pulled again");
            metrics::counter!("streamsync_cache_damaged_files_total").increment(1);
            // The cache holds on to it until it comes to it.
            self.0.files.run_pending_tasks().await;
        }
    }

    /// A file, pulled from the bucket if it is not on the disk; `None` if there is no room for it.
    /// However many queries miss one file, it is pulled once.
    pub(crate) async fn pull(
        &self,
        table: &Table,
        key: &FileKey,
        file: &DataFile,
    ) -> Result<Option<Arc<LocalFile>>, Arc<LoadError>> {
        if let Some(file) = self.get(key).await {
            return Ok(Some(file));
        }
        let (disk, table, file) = (self.clone(), table.clone(), file.clone());
        let pulled = self
            .0
            .files
            .entry_by_ref(key)
            .or_try_insert_with(async move { disk.copy(&table, &file).await.map(Arc::new) })
            .await;
        match pulled {
            Ok(entry) => {
                if !entry.is_fresh() {
                    metrics::counter!("streamsync_cache_shared_pulls_total").increment(1);
                }
                Ok(Some(entry.into_value()))
            }
            Err(error) => match &*error {
                PullError::NoRoom => Ok(None),
                PullError::Load(error) => Err(Arc::clone(error)),
            },
        }
    }

    async fn copy(&self, table: &Table, file: &DataFile) -> Result<LocalFile, PullError> {
        let reserved = self.reserve(file.size).await.ok_or(PullError::NoRoom)?;
        let key = FileKey::new(table, file);
        let (path, partial) = (self.0.folder.path(&key, file), self.0.folder.partial());
        let failed = |path: &Path, source| match full(&source) {
            true => {
                tracing::warn!(file = file.path, "the local disk is full");
                PullError::NoRoom
            }
            false => PullError::from(LoadError::Disk {
                path: path.display().to_string(),
                source,
            }),
        };
        let to = File::create_new(&partial).map_err(|source| failed(&partial, source))?;
        // Whatever goes wrong from here on leaves nothing behind.
        let partial = tempfile::TempPath::try_from_path(&partial)
            .map_err(|source| failed(&partial, source))?;
        let checksums = match table.download(file, to).await {
            Ok(checksums) => checksums,
            Err(DownloadError::Write { source, .. }) if full(&source) => {
                return Err(failed(&path, source));
            }
            Err(error) => return Err(error.into()),
        };
        table.open_copy(file, &partial).await?;
        let stamp = Stamp::of(&partial);
        self.0
            .folder
            .keep(partial, &path, &key, &checksums)
            .map_err(|source| failed(&path, source))?;
        // A rename changes the time of change only.
        let stamp = stamp.and_then(|before| Stamp::of(&path).filter(|now| now.same_data(&before)));
        metrics::counter!("streamsync_cache_pulled_files_total").increment(1);
        metrics::counter!("streamsync_cache_pulled_bytes_total", "tier" => "disk")
            .increment(file.size);
        Ok(reserved.file(self, path, checksums, stamp))
    }

    async fn reserve(&self, bytes: u64) -> Option<Reserved> {
        if let Some(reserved) = self.try_reserve(bytes) {
            return Some(reserved);
        }
        // Files that have lost their place are let go of when the cache comes to it.
        self.0.files.run_pending_tasks().await;
        self.try_reserve(bytes)
    }

    fn try_reserve(&self, bytes: u64) -> Option<Reserved> {
        let used = &self.0.space.used;
        let room = |now: u64| Some(now + bytes).filter(|then| *then <= self.0.budget);
        used.fetch_update(Ordering::SeqCst, Ordering::SeqCst, room)
            .ok()?;
        Some(Reserved {
            bytes,
            space: Arc::clone(&self.0.space),
        })
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.space.closing.store(true, Ordering::SeqCst);
    }
}

/// Bytes of the budget that a file is about to take.
struct Reserved {
    bytes: u64,
    space: Arc<Space>,
}

impl Reserved {
    fn file(
        self,
        disk: &Disk,
        path: PathBuf,
        checksums: BlockChecksums,
        checked: Option<Stamp>,
    ) -> LocalFile {
        let bytes = self.bytes;
        // From here on the file gives the bytes back.
        let space = Arc::clone(&self.space);
        std::mem::forget(self);
        LocalFile {
            path,
            bytes,
            checksums,
            checked: Mutex::new(checked),
            space,
            folder: disk.0.folder.clone(),
        }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.space.used.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

impl Drop for LocalFile {
    fn drop(&mut self) {
        if !self.space.closing.load(Ordering::SeqCst) {
            self.folder.remove(&self.path);
        }
        self.space.used.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

impl LocalFile {
    fn untouched(&self) -> bool {
        let checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        checked.is_some() && *checked == Stamp::of(&self.path)
    }

    /// Compares the file with its checksums.
    fn check(&self) -> bool {
        let stamp = Stamp::of(&self.path);
        let right = stamp.is_some() && self.matches().unwrap_or(false);
        if right {
            *self.checked.lock().unwrap_or_else(PoisonError::into_inner) = stamp;
        }
        right
    }

    fn matches(&self) -> std::io::Result<bool> {
        let mut file = File::open(&self.path)?;
        if file.metadata()?.len() != self.bytes {
            return Ok(false);
        }
        let mut block = Vec::new();
        for expected in &self.checksums {
            block.clear();
            file.by_ref().take(BLOCK_BYTES).read_to_end(&mut block)?;
            if crc32fast::hash(&block) != *expected {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

impl Stamp {
    fn of(path: &Path) -> Option<Self> {
        let metadata = std::fs::metadata(path).ok()?;
        Some(Self {
            inode: metadata.ino(),
            bytes: metadata.len(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }

    fn same_data(&self, other: &Self) -> bool {
        (self.inode, self.bytes, self.modified) == (other.inode, other.bytes, other.modified)
    }
}

fn full(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded
    )
}
