//! The folder in which a worker keeps its copies of files.

use crate::file_key::FileKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use streamsync_lake::{BlockChecksums, DataFile};
use tempfile::{TempDir, TempPath};

/// How temporary folders are named.
const PREFIX: &str = "streamsync-worker-";
/// How old a temporary folder is at least that nobody uses any more.
const ABANDONED_AFTER: Duration = Duration::from_secs(60);
/// The file by which a worker says that the folder is its own.
const LOCK: &str = "lock";
/// Copies that are being made.
const PARTIAL: &str = "partial";
/// Copies.
const FILES: &str = "files";
/// What running queries spill.
const SPILL: &str = "spill";

/// Why a folder is of no use.
#[derive(Debug, thiserror::Error)]
pub enum DiskFolderError {
    /// It cannot be made or written to.
    #[error("could not use {} for files of the lake", path.display())]
    Use {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process has it.
    #[error(
        "{} is in use by another worker; give each one its own worker.cache_folder",
        .0.display()
    )]
    InUse(PathBuf),
}

/// A folder that this process alone uses. Cheap to clone; a temporary one is taken away with the
/// last clone.
#[derive(Clone)]
pub(crate) struct DiskFolder(Arc<Inner>);

struct Inner {
    path: PathBuf,
    /// Holds the lock.
    _lock: File,
    numbers: AtomicU64,
    // The last field: it is dropped after the lock.
    _temporary: Option<TempDir>,
}

/// A copy that was there already.
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) checksums: BlockChecksums,
}

/// What is written beside a copy: whose it is, and what it must be. A copy without it is not
/// complete.
#[derive(Deserialize, Serialize)]
struct Label {
    file: String,
    bytes: u64,
    checksums: BlockChecksums,
}

impl DiskFolder {
    /// The folder at a path, which stays, or a temporary one.
    pub(crate) fn open(path: Option<&Path>) -> Result<Self, DiskFolderError> {
        match path {
            Some(path) => {
                let failed = |source| DiskFolderError::Use {
                    path: path.to_owned(),
                    source,
                };
                fs::create_dir_all(path).map_err(failed)?;
                let path = path.canonicalize().map_err(failed)?;
                Self::lock(path, None)
            }
            None => {
                let parent = std::env::temp_dir();
                remove_abandoned(&parent);
                let temporary = TempDir::with_prefix(PREFIX).map_err(|source| {
                    let path = parent.clone();
                    DiskFolderError::Use { path, source }
                })?;
                Self::lock(temporary.path().to_owned(), Some(temporary))
            }
        }
    }

    fn lock(path: PathBuf, temporary: Option<TempDir>) -> Result<Self, DiskFolderError> {
        let failed = |source| DiskFolderError::Use {
            path: path.clone(),
            source,
        };
        let lock = File::create(path.join(LOCK)).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(DiskFolderError::InUse(path)),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        for abandoned in [PARTIAL, SPILL] {
            match fs::remove_dir_all(path.join(abandoned)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
                _ => fs::create_dir(path.join(abandoned)).map_err(failed)?,
            }
        }
        fs::create_dir_all(path.join(FILES)).map_err(failed)?;
        Ok(Self(Arc::new(Inner {
            path,
            _lock: lock,
            numbers: AtomicU64::default(),
            _temporary: temporary,
        })))
    }

    /// What to say when the folder turns out to be of no use.
    pub(crate) fn unusable(&self, source: io::Error) -> DiskFolderError {
        DiskFolderError::Use {
            path: self.0.path.clone(),
            source,
        }
    }

    /// The folder below which all copies are.
    pub(crate) fn files(&self) -> PathBuf {
        self.0.path.join(FILES)
    }

    /// The folder for what running queries spill.
    pub(crate) fn spill(&self) -> PathBuf {
        self.0.path.join(SPILL)
    }

    /// Where a copy goes: below its partition, written as Hive does, so that DuckDB finds the
    /// values of the partition columns there. Each copy has a name of its own: one that was let go of is
    /// removed when nobody reads it any more, which may be after the file was pulled again.
    pub(crate) fn path(&self, key: &FileKey, file: &DataFile) -> PathBuf {
        let mut path = self.files();
        for (column, value) in &file.partition {
            path.push(format!("{column}={}", value.as_deref().unwrap_or_default()));
        }
        let name = hex::encode(&Sha256::digest(key.to_string())[..16]);
        loop {
            let path = path.join(format!("{name}-{}.parquet", self.number()));
            // It may be there from an earlier time.
            if !path.exists() {
                return path;
            }
        }
    }

    /// A number that nothing else in the folder was given since it was opened.
    fn number(&self) -> u64 {
        self.0.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// A path for a copy that is being made.
    pub(crate) fn partial(&self) -> PathBuf {
        self.0.path.join(PARTIAL).join(self.number().to_string())
    }

    /// Puts a copy that is complete in its place. The label comes last: without it the copy is
    /// not found again.
    pub(crate) fn keep(
        &self,
        partial: TempPath,
        path: &Path,
        key: &FileKey,
        checksums: &BlockChecksums,
    ) -> io::Result<()> {
        let label = Label {
            file: key.to_string(),
            bytes: fs::metadata(&partial)?.len(),
            checksums: checksums.clone(),
        };
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        partial.persist(path).map_err(|error| error.error)?;
        let written = self.partial();
        let labelled = fs::write(&written, serde_json::to_vec(&label)?)
            .and_then(|()| fs::rename(&written, label_of(path)));
        if labelled.is_err() {
            // Nobody would ever find it, and the disk may be full of the like.
            self.remove(path);
            let _ = fs::remove_file(&written);
        }
        labelled
    }

    /// Removes a copy and its label.
    pub(crate) fn remove(&self, path: &Path) {
        for path in [&label_of(path), path] {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    tracing::warn!(path = %path.display(), %error, "could not remove a copy");
                }
                _ => {}
            }
        }
    }

    /// The copies that were there already. What is not a complete copy is removed.
    pub(crate) fn found(&self) -> io::Result<Vec<(FileKey, Found)>> {
        let mut found = Vec::new();
        let mut folders = vec![self.files()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder)? {
                let path = entry?.path();
                let incomplete = || !path.with_extension("parquet").exists();
                if path.is_dir() {
                    folders.push(path);
                } else if path == label_of(&path) && incomplete() {
                    self.remove(&path);
                } else if path
                    .extension()
                    .is_some_and(|extension| extension == "parquet")
                {
                    match label(&path) {
                        Some(label) => found.push((
                            FileKey::parse(&label.file),
                            Found {
                                path,
                                bytes: label.bytes,
                                checksums: label.checksums,
                            },
                        )),
                        None => self.remove(&path),
                    }
                }
            }
        }
        Ok(found)
    }
}

fn label_of(path: &Path) -> PathBuf {
    path.with_extension("json")
}

/// The label of a copy, if it is complete as far as its size says.
fn label(path: &Path) -> Option<Label> {
    let label: Label = serde_json::from_slice(&fs::read(label_of(path)).ok()?).ok()?;
    let bytes = fs::metadata(path).ok()?.len();
    Some(label).filter(|label| label.bytes == bytes)
}

/// Removes the temporary folders of workers that were killed.
fn remove_abandoned(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else {
        return;
    };
    for entry in entries.flatten() {
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        let lock = entry.path().join(LOCK);
        // A young one may be a worker's that is just about to lock it.
        let age = fs::metadata(&lock).and_then(|lock| lock.modified());
        let old = age.is_ok_and(|made| made.elapsed().is_ok_and(|age| age > ABANDONED_AFTER));
        let free = old && File::open(lock).is_ok_and(|lock| lock.try_lock().is_ok());
        if free && fs::remove_dir_all(entry.path()).is_ok() {
            tracing::info!(path = %entry.path().display(), "removed an abandoned folder");
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn no_two_copies_have_one_name_whenever_they_are_made() {
        let folder = TempDir::new().unwrap();
        let key = FileKey::parse("blocks/day=1/one.parquet");
        let file = DataFile {
            path: "day=1/one.parquet".to_owned(),
            size: 4,
            rows: None,
            partition: [("day".to_owned(), Some("1".to_owned()))].into(),
            columns: Default::default(),
        };
        let copy = |of: &DiskFolder| {
            let (path, partial) = (of.path(&key, &file), of.partial());
            fs::write(&partial, b"PAR1").unwrap();
            let partial = TempPath::try_from_path(&partial).unwrap();
            of.keep(partial, &path, &key, &vec![1]).unwrap();
            path
        };
        let opened = DiskFolder::open(Some(folder.path())).unwrap();
        let (first, second) = (copy(&opened), copy(&opened));
        drop(opened);
        let again = DiskFolder::open(Some(folder.path())).unwrap();
        let third = copy(&again);
        again.remove(&first);
        let mut left: Vec<PathBuf> = again
            .found()
            .unwrap()
            .into_iter()
            .map(|(_, copy)| copy.path)
            .collect();
        left.sort();
        let mut expected = vec![second, third];
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_copy_that_cannot_be_labelled_is_not_left_behind() {
        let folder = TempDir::new().unwrap();
        let opened = DiskFolder::open(Some(folder.path())).unwrap();
        let path = opened.files().join("one.parquet");
        // A folder where the label should go.
        fs::create_dir_all(label_of(&path).join("full")).unwrap();
        let partial = opened.partial();
        fs::write(&partial, b"PAR1").unwrap();
        let partial = TempPath::try_from_path(&partial).unwrap();
        let key = FileKey::parse("blocks/one.parquet");
        assert!(opened.keep(partial, &path, &key, &vec![1]).is_err());
        assert!(!path.exists());
        let left = fs::read_dir(folder.path().join(PARTIAL)).unwrap();
        assert_eq!(left.count(), 0);
    }
}
