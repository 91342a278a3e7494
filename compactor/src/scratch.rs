//! Folders for what only one process needs, and only while it runs.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// How the folders are named.
const PREFIX: &str = "streamsync-compactor-";
/// The file by which a process says that the folder is in use.
const LOCK: &str = "lock";

/// A folder of this process, which goes with it. What killed processes have left beside it goes
/// when the next one opens.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: TempDir,
    _lock: File,
}

/// Why there is no folder to work in.
#[derive(Debug, thiserror::Error)]
#[error("could not use {} for copies of files; set compactor.scratch_folder to one that can be \
         written to", path.display())]
pub struct ScratchError {
    path: PathBuf,
    source: io::Error,
}

impl Scratch {
    pub(crate) fn open(parent: Option<&Path>) -> Result<Self, ScratchError> {
        let parent = parent.map_or_else(std::env::temp_dir, Path::to_owned);
        let failed = |source| ScratchError {
            path: parent.clone(),
            source,
        };
        fs::create_dir_all(&parent).map_err(failed)?;
        clear(&parent).map_err(failed)?;
        loop {
            let folder = tempfile::Builder::new()
                .prefix(PREFIX)
                .tempdir_in(&parent)
                .map_err(failed)?;
            let path = folder.path().join(LOCK);
            let lock = File::create(&path).map_err(failed)?;
            lock.lock().map_err(failed)?;
            // Somebody who is clearing may have come before the lock.
            if path.exists() {
                return Ok(Self {
                    folder,
                    _lock: lock,
                });
            }
        }
    }

    /// A new folder in it.
    pub(crate) fn folder(&self) -> Result<TempDir, ScratchError> {
        TempDir::new_in(self.folder.path()).map_err(|source| ScratchError {
            path: self.folder.path().to_owned(),
            source,
        })
    }
}

/// Deletes the folders of processes that are gone.
fn clear(parent: &Path) -> io::Result<()> {
    for entry in fs::read_dir(parent)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // One that has no lock yet is being made.
        let Ok(lock) = File::open(entry.path().join(LOCK)) else {
            continue;
        };
        match lock.try_lock() {
            Ok(()) => {
                // Somebody else may be clearing it too.
                let _ = fs::remove_dir_all(entry.path());
            }
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_dead_left_is_cleared() {
        let parent = TempDir::new().unwrap();
        let dead = parent.path().join(format!("{PREFIX}dead"));
        fs::create_dir(&dead).unwrap();
        fs::write(dead.join(LOCK), "").unwrap();
        fs::write(dead.join("copy.parquet"), "rows").unwrap();
        let others = parent.path().join("photos");
        fs::create_dir(&others).unwrap();
        let one = Scratch::open(Some(parent.path())).unwrap();
        let two = Scratch::open(Some(parent.path())).unwrap();
        assert!(!dead.exists());
        assert!(others.exists());
        assert!(one.folder().is_ok() && two.folder().is_ok());
        drop((one, two));
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1);
    }
}
