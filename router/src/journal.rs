//! Receipts on their way to the registry: written to a file before the answer is given, and kept
//! until Redis has them.
//!
//! A receipt is in the file before the first byte of its answer is sent, so a router that is killed
//! has charged for nothing that is not on record, and has lost no receipt of an answer that somebody
//! got. Files are closed after a second and synced to the disk if Redis does not have all of them by
//! then: a machine that loses its power loses the last second at the most.

use crate::journal_file::{self, Segment};
use rand::Rng;
use std::{
    collections::{BTreeSet, VecDeque},
    fs::{File, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use streamsync_core::{
    Identity, KeyFileError, Receipt, SignedReceipt, WorkerId, clock::SharedClock,
};
use streamsync_registry::{Debit, Registry, RegistryError};
use tokio::sync::Notify;

/// The name of the router's key pair in the folder.
const KEY_FILE: &str = "router.json";
/// After how long a file is closed.
const CLOSED_AFTER: Duration = Duration::from_secs(1);
/// How many bytes a file has at the most, but for the last receipt.
const CLOSED_FROM: u64 = 1 << 20;
/// How many receipts are told together.
const BATCH: usize = 256;

/// Why a receipt cannot be kept, or told.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The folder or a file in it cannot be used.
    #[error("could not {action} {path}", path = .path.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// To what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The router's key pair cannot be used.
    #[error("could not use the router's key pair")]
    Key(#[from] KeyFileError),
    /// A file is not what the router wrote.
    #[error("the receipts in {path} are damaged at line {line}; move the file away to go on", path = .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
    },
    /// There are too many that Redis does not have.
    #[error("{bytes} bytes of receipts wait for Redis, and router.spool_bytes is {limit}")]
    Full {
        /// How many bytes wait.
        bytes: u64,
        /// How many may.
        limit: u64,
    },
    /// A receipt was half written, and could not be taken back.
    #[error("the journal of receipts is broken; restart the router")]
    Broken,
    /// The folder is an old copy.
    #[error(
        "Redis has receipts of this router up to number {told}, and {folder} ends before that: it is an old copy; \
         use the folder that the router used last, or an empty one", folder = .folder.display()
    )]
    OldCopy {
        /// The last number that Redis has.
        told: u64,
        /// The folder.
        folder: PathBuf,
    },
    /// The receipt cannot be written as JSON.
    #[error("could not write a receipt as JSON")]
    Encode(#[from] serde_json::Error),
    /// Redis did not take it.
    #[error("could not record receipts")]
    Registry(#[source] Box<RegistryError>),
}

impl From<RegistryError> for JournalError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}

/// The receipts of a router, and the key pair that it signs them with.
pub struct Journal {
    folder: PathBuf,
    identity: Identity,
    process: u64,
    limit: u64,
    clock: SharedClock,
    state: Mutex<State>,
    written: Notify,
}

struct State {
    /// The number of the next receipt.
    next: u64,
    /// Files with receipts, oldest first. The last one may be open.
    segments: VecDeque<Segment>,
    open: Option<(File, Duration)>,
    /// The number of the last receipt that Redis has; `None` until it was asked.
    told: Option<u64>,
    /// What was written since the oldest receipt that Redis does not have, as it was: so that files
    /// are only read for what is older.
    recent: VecDeque<(u64, Debit)>,
    broken: bool,
}

/// How many receipts are kept in memory too.
const RECENT: usize = 4_096;

impl Journal {
    /// Opens the journal in a folder that no other process uses, with what an earlier one left
    /// there. The router's key pair is made if there is none.
    pub fn open(folder: &Path, limit: u64, clock: SharedClock) -> Result<Self, JournalError> {
        let failed = |source| JournalError::File {
            action: "use the folder",
            path: folder.to_owned(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(failed)?;
        let key_file = folder.join(KEY_FILE);
        let identity = if key_file.exists() {
            Identity::read(&key_file)?
        } else {
            #[allow(clippy::disallowed_methods)]
            let identity = Identity::from_seed(rand::rng().random());
            identity.write_new(&key_file)?;
            identity
        };
        let segments = journal_file::list(folder)?;
        let last = segments.back();
        Ok(Self {
            folder: folder.to_owned(),
            identity,
            process: last.map_or(1, |segment| segment.process + 1),
            limit,
            clock,
            state: Mutex::new(State {
                next: last.map_or(1, |segment| segment.first + segment.lines),
                segments,
                open: None,
                told: None,
                recent: VecDeque::new(),
                broken: false,
            }),
            written: Notify::new(),
        })
    }

    /// Who signs.
    pub fn router(&self) -> WorkerId {
        self.identity.id()
    }

    /// Under which name this process holds credit.
    pub(crate) fn holder(&self) -> String {
        self.holder_of(self.process)
    }

    fn holder_of(&self, process: u64) -> String {
        format!("{}.{process}", self.identity.id())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Numbers a receipt, signs it and writes it down. When this returns it outlives the process.
    pub(crate) fn write(&self, mut receipt: Receipt) -> Result<SignedReceipt, JournalError> {
        let now = self.clock.monotonic();
        let mut state = self.state();
        if state.broken {
            return Err(JournalError::Broken);
        }
        let bytes = state.segments.iter().map(|segment| segment.bytes).sum();
        if bytes >= self.limit {
            return Err(JournalError::Full {
                bytes,
                limit: self.limit,
            });
        }
        let number = state.next;
        receipt.router = self.identity.id();
        receipt.number = number;
        let debit = (receipt.client.clone(), receipt.charged);
        let signed = receipt.sign(&self.identity)?;
        let mut line = serde_json::to_vec(&signed)?;
        line.push(b'\n');
        if state.open.is_none() {
            self.open_segment(&mut state, now)?;
        }
        let State {
            segments,
            open,
            broken,
            ..
        } = &mut *state;
        let (Some(segment), Some((file, _))) = (segments.back_mut(), open) else {
            return Err(JournalError::Broken);
        };
        if let Err(source) = file.write_all(&line) {
            // What was written of it would spoil the next one.
            *broken = file.set_len(segment.bytes).is_err();
            return Err(JournalError::File {
                action: "write a receipt to",
                path: segment.path.clone(),
                source,
            });
        }
        segment.bytes += line.len() as u64;
        segment.lines += 1;
        state.next += 1;
        line.pop();
        if state.recent.len() == RECENT {
            state.recent.pop_front();
        }
        let receipt = String::from_utf8_lossy(&line).into_owned();
        let (client, charged) = debit;
        state.recent.push_back((
            number,
            Debit {
                client,
                charged,
                receipt,
            },
        ));
        drop(state);
        self.written.notify_one();
        Ok(signed)
    }

    fn open_segment(&self, state: &mut State, now: Duration) -> Result<(), JournalError> {
        let segment = Segment::new(&self.folder, self.process, state.next);
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&segment.path);
        let file = file.map_err(|source| JournalError::File {
            action: "create",
            path: segment.path.clone(),
            source,
        })?;
        state.open = Some((file, now));
        state.segments.push_back(segment);
        Ok(())
    }

    /// Waits until there is something to tell, or a while.
    pub(crate) async fn has_more(&self) {
        let _ = tokio::time::timeout(CLOSED_AFTER, self.written.notified()).await;
    }

    /// How many receipts Redis does not have, as far as is known.
    pub(crate) fn waiting(&self) -> u64 {
        let state = self.state();
        let oldest = state
            .segments
            .front()
            .map_or(state.next, |segment| segment.first);
        state.next
            - state
                .told
                .map_or(oldest, |told| told + 1)
                .clamp(oldest, state.next)
    }

    /// Tells Redis all that it does not have.
    pub(crate) async fn tell(&self, registry: &Registry) -> Result<(), JournalError> {
        if self.state().told.is_none() {
            let told = registry.last_receipt(self.router()).await?;
            self.learn(told)?;
        }
        while let Some((process, first, debits)) = self.next_batch().await? {
            let holder = self.holder_of(process);
            let told = registry
                .record_receipts(self.router(), &holder, first, &debits)
                .await?;
            let mut state = self.state();
            state.told = Some(told.max(first + debits.len() as u64 - 1));
        }
        Ok(())
    }

    /// Learns which receipts Redis has. Numbers that it has already are not used again: what was
    /// written under them would be taken for told.
    fn learn(&self, told: u64) -> Result<(), JournalError> {
        let mut state = self.state();
        if told >= state.next {
            state.broken = true;
            let folder = self.folder.clone();
            return Err(JournalError::OldCopy { told, folder });
        }
        state.told = Some(told);
        Ok(())
    }

    /// The oldest receipts that Redis does not have, all of one process.
    async fn next_batch(&self) -> Result<Option<(u64, u64, Vec<Debit>)>, JournalError> {
        let (segment, from) = {
            let mut state = self.state();
            let from = state.told.unwrap_or_default() + 1;
            while state
                .recent
                .front()
                .is_some_and(|(number, _)| *number < from)
            {
                state.recent.pop_front();
            }
            if state
                .recent
                .front()
                .is_some_and(|(number, _)| *number == from)
            {
                let recent = state.recent.iter().take(BATCH);
                let batch = recent.map(|(_, debit)| debit.clone()).collect();
                return Ok(Some((self.process, from, batch)));
            }
            let holds_more = |segment: &&Segment| segment.first + segment.lines > from;
            let Some(segment) = state.segments.iter().find(holds_more) else {
                return Ok(None);
            };
            (segment.clone(), from.max(segment.first))
        };
        let process = segment.process;
        let read = move || journal_file::read(&segment, from, BATCH);
        let read = tokio::task::spawn_blocking(read).await;
        let debits = read.map_err(|error| JournalError::File {
            action: "read",
            path: self.folder.clone(),
            source: io::Error::other(error),
        })??;
        Ok((!debits.is_empty()).then_some((process, from, debits)))
    }

    /// The earlier processes of this router all of whose receipts Redis has, and whose credit was not
    /// given back yet.
    fn ended(&self) -> BTreeSet<u64> {
        let state = self.state();
        let told = state.told.unwrap_or_default();
        let earlier = state.segments.iter();
        let earlier = earlier.filter(|segment| segment.process != self.process && !segment.ended);
        let (told, waiting): (Vec<_>, Vec<_>) = earlier.partition(|segment| segment.is_told(told));
        let waiting: BTreeSet<u64> = waiting.iter().map(|segment| segment.process).collect();
        let told = told.iter().map(|segment| segment.process);
        told.filter(|process| !waiting.contains(process)).collect()
    }

    /// Closes the open file after a while, and syncs it if Redis does not have all of it.
    pub(crate) async fn close(&self) -> Result<(), JournalError> {
        let now = self.clock.monotonic();
        let closed = {
            let mut state = self.state();
            let newest = state.segments.back();
            let large = newest.is_some_and(|segment| segment.bytes >= CLOSED_FROM);
            let told = state.told.unwrap_or_default();
            let waits = newest.is_some_and(|segment| !segment.is_told(told));
            let due = |(_, opened): &mut (File, Duration)| {
                large || now.saturating_sub(*opened) >= CLOSED_AFTER
            };
            state.open.take_if(due).filter(|_| waits)
        };
        let Some((file, _)) = closed else {
            return Ok(());
        };
        self.on_disk("sync receipts in", move |folder| {
            file.sync_data()?;
            File::open(folder)?.sync_all()
        })
        .await
    }

    /// Deletes files that Redis has whole. The newest stays: it says where the numbers go on. What
    /// earlier processes of this router held of clients' credit is given back before their files
    /// go: whoever dies in between does it again.
    pub(crate) async fn forget(&self, registry: &Registry) -> Result<(), JournalError> {
        for process in self.ended() {
            registry.end_credit(&self.holder_of(process)).await?;
            let mut state = self.state();
            let own = state.segments.iter_mut();
            own.filter(|segment| segment.process == process)
                .for_each(|segment| segment.ended = true);
        }
        let mut told = Vec::new();
        {
            let mut state = self.state();
            let last = state.told.unwrap_or_default();
            while state.segments.len() > 1 {
                let oldest = &state.segments[0];
                let done = oldest.process == self.process || oldest.ended;
                if !done || !oldest.is_told(last) {
                    break;
                }
                told.extend(state.segments.pop_front().map(|segment| segment.path));
            }
        }
        if told.is_empty() {
            return Ok(());
        }
        self.on_disk("delete receipts in", move |_| {
            told.iter().try_for_each(std::fs::remove_file)
        })
        .await
    }

    /// Does something in the folder, on a thread that may wait for the disk.
    async fn on_disk(
        &self,
        action: &'static str,
        work: impl FnOnce(&Path) -> io::Result<()> + Send + 'static,
    ) -> Result<(), JournalError> {
        let path = self.folder.clone();
        let done = tokio::task::spawn_blocking(move || work(&path)).await;
        let done = done.unwrap_or_else(|error| Err(io::Error::other(error)));
        done.map_err(|source| JournalError::File {
            action,
            path: self.folder.clone(),
            source,
        })
    }
}

#[cfg(test)]
#[path = "journal_tests.rs"]
mod tests;
