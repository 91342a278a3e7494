//! Messages to the registry, kept until they were told: in files that survive the process, or in
//! memory where there is no folder for them.

use crate::outbox::Message;
use std::{
    collections::VecDeque,
    fs::{File, TryLockError},
    io::{self, BufRead, BufReader, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

/// Why messages cannot be kept.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// The folder cannot be used.
    #[error("could not use the folder {folder} for the spool", folder = .folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another router uses the folder.
    #[error("another router uses the spool in {folder}; give each its own router.spool_folder", folder = .0.display())]
    InUse(PathBuf),
    /// A file could not be written or read.
    #[error("could not {action} the file {file} of the spool", file = .file.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There are too many bytes in it.
    #[error(
        "the spool has {bytes} bytes, and router.spool_bytes is {limit}: the newest messages are lost"
    )]
    Full {
        /// How many there are.
        bytes: u64,
        /// How many there may be.
        limit: u64,
    },
    /// A file is not what the router wrote.
    #[error("the file {file} of the spool is damaged in line {line}; move it away to go on", file = .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// Counted from one.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
}

/// Batches of messages, oldest first. A batch in a folder is one file with a message a line,
/// written beside it, synced, and renamed: whatever dies, a file is there whole or not at all.
pub struct Spool {
    folder: Option<Folder>,
    batches: VecDeque<Batch>,
    bytes: u64,
    limit: u64,
    next: u64,
}

struct Folder {
    path: PathBuf,
    /// Locked as long as the spool lives, so that no two routers have the same.
    _lock: File,
}

struct Batch {
    bytes: u64,
    place: Kept,
}

enum Kept {
    Memory(Arc<[Message]>),
    File(PathBuf),
}

const SUFFIX: &str = ".jsonl";
/// What the name of a file ends with while it is written.
const UNFINISHED: &str = "unfinished";

impl Spool {
    /// Opens a spool, with what an earlier process left in the folder.
    pub fn open(folder: Option<&Path>, limit: u64) -> Result<Self, SpoolError> {
        let mut spool = Self {
            folder: None,
            batches: VecDeque::new(),
            bytes: 0,
            limit,
            next: 0,
        };
        let Some(path) = folder else {
            return Ok(spool);
        };
        let failed = |source| SpoolError::Folder {
            folder: path.to_owned(),
            source,
        };
        std::fs::create_dir_all(path).map_err(failed)?;
        let lock = File::create(path.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(SpoolError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        let mut files = Vec::new();
        for entry in std::fs::read_dir(path).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if entry.path().extension() == Some(UNFINISHED.as_ref()) {
                // Nobody was told that it is kept.
                std::fs::remove_file(entry.path()).map_err(failed)?;
                continue;
            }
            let number = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            if let Some(number) = number.and_then(|number| number.parse::<u64>().ok()) {
                files.push((
                    number,
                    entry.metadata().map_err(failed)?.len(),
                    entry.path(),
                ));
            }
        }
        files.sort();
        for (number, bytes, file) in files {
            spool.next = number + 1;
            spool.bytes += bytes;
            let place = Kept::File(file);
            spool.batches.push_back(Batch { bytes, place });
        }
        spool.folder = Some(Folder {
            path: path.to_owned(),
            _lock: lock,
        });
        Ok(spool)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Keeps messages. When this returns they are on the disk, if there is a folder.
    pub(crate) async fn keep(&mut self, messages: Vec<Message>) -> Result<(), SpoolError> {
        let mut lines = Vec::new();
        for message in &messages {
            // Messages are text, numbers and maps with text for keys: they can always be written.
            lines.extend(serde_json::to_vec(message).unwrap_or_default());
            lines.push(b'\n');
        }
        let bytes = lines.len() as u64;
        if self.bytes + bytes > self.limit {
            metrics::counter!("streamsync_router_spool_dropped_total")
                .increment(messages.len() as u64);
            return Err(SpoolError::Full {
                bytes: self.bytes,
                limit: self.limit,
            });
        }
        let place = match &self.folder {
            None => Kept::Memory(messages.into()),
            Some(folder) => {
                let file = folder.path.join(format!("{:020}{SUFFIX}", self.next));
                let (path, folder) = (file.clone(), folder.path.clone());
                let written = blocking(move || write(&folder, &path, &lines)).await;
                match written {
                    Ok(()) => Kept::File(file),
                    // A full disk must not lose what memory can hold.
                    Err(source) => {
                        let error = SpoolError::File {
                            action: "write",
                            file,
                            source,
                        };
                        let error = &error as &dyn std::error::Error;
                        tracing::error!(error, "messages to the registry are in memory only");
                        Kept::Memory(messages.into())
                    }
                }
            }
        };
        self.next += 1;
        self.bytes += bytes;
        self.batches.push_back(Batch { bytes, place });
        Ok(())
    }

    /// The oldest messages; none if there are none.
    pub(crate) async fn first(&self) -> Result<Arc<[Message]>, SpoolError> {
        let file = match self.batches.front().map(|batch| &batch.place) {
            None => return Ok(Arc::new([])),
            Some(Kept::Memory(messages)) => return Ok(Arc::clone(messages)),
            Some(Kept::File(file)) => file.clone(),
        };
        let failed = |source| SpoolError::File {
            action: "read",
            file: file.clone(),
            source,
        };
        let path = file.clone();
        let lines = blocking(move || BufReader::new(File::open(path)?).lines().collect());
        let lines: Vec<String> = lines.await.map_err(failed)?;
        let messages = lines.iter().enumerate().map(|(index, line)| {
            serde_json::from_str(line).map_err(|source| SpoolError::Damaged {
                file: file.clone(),
                line: index + 1,
                source,
            })
        });
        messages.collect()
    }

    /// Forgets the oldest messages.
    pub(crate) async fn forget_first(&mut self) -> Result<(), SpoolError> {
        if let Some(Batch {
            place: Kept::File(file),
            ..
        }) = self.batches.front()
        {
            let path = file.clone();
            let removed = blocking(move || std::fs::remove_file(path)).await;
            removed.map_err(|source| SpoolError::File {
                action: "remove",
                file: file.clone(),
                source,
            })?;
        }
        if let Some(batch) = self.batches.pop_front() {
            self.bytes -= batch.bytes;
        }
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn write(folder: &Path, path: &Path, lines: &[u8]) -> io::Result<()> {
    let unfinished = path.with_extension(UNFINISHED);
    let mut file = File::create(&unfinished)?;
    file.write_all(lines)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    // The new name has to survive as well.
    File::open(folder)?.sync_all()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use streamsync_core::Identity;
    use uuid::Uuid;

    fn message(number: u8) -> Message {
        let worker = Identity::from_seed([number; 32]).id();
        Message::Observed {
            report: Uuid::from_bytes([number; 16]),
            workers: [(worker, Default::default())].into(),
        }
    }

    async fn drained(spool: &mut Spool) -> Vec<Message> {
        let mut messages = Vec::new();
        while !spool.is_empty() {
            messages.extend(spool.first().await.unwrap().iter().cloned());
            spool.forget_first().await.unwrap();
        }
        messages
    }

    #[tokio::test]
    async fn what_a_dead_process_kept_is_there_again_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let mut spool = Spool::open(Some(&path), 1 << 20).unwrap();
        for number in 0..12 {
            spool.keep(vec![message(number)]).await.unwrap();
        }
        spool.forget_first().await.unwrap();
        assert!(matches!(
            Spool::open(Some(&path), 1 << 20),
            Err(SpoolError::InUse(_))
        ));
        drop(spool);
        // What was being written when it died.
        std::fs::write(path.join("99.unfinished"), "{").unwrap();
        let mut spool = Spool::open(Some(&path), 1 << 20).unwrap();
        assert!(!path.join("99.unfinished").exists());
        spool.keep(vec![message(12)]).await.unwrap();
        let expected: Vec<_> = (1..13).map(message).collect();
        assert_eq!(drained(&mut spool).await, expected);
        drop(spool);
        assert!(Spool::open(Some(&path), 1).unwrap().is_empty());
    }

    #[tokio::test]
    async fn it_is_bounded_and_works_without_a_folder() {
        let mut spool = Spool::open(None, 600).unwrap();
        let mut kept = 0;
        while spool.keep(vec![message(kept)]).await.is_ok() {
            kept += 1;
        }
        assert!((1..10).contains(&kept), "{kept}");
        assert_eq!(drained(&mut spool).await.len(), usize::from(kept));
        assert_eq!(spool.bytes(), 0);
    }

    #[tokio::test]
    async fn a_folder_that_cannot_be_written_to_loses_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("spool");
        let mut spool = Spool::open(Some(&path), 1 << 20).unwrap();
        std::fs::remove_dir_all(&path).unwrap();
        spool.keep(vec![message(1)]).await.unwrap();
        assert_eq!(drained(&mut spool).await, [message(1)]);
    }
}
