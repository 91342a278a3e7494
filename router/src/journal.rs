//! Receipts on their way to the registry: written to a file before the answer is given, and kept
//! until they are settled, so that a Redis that has lost them gets them again.
//!
//! A receipt is in the file before the first byte of its answer is sent, so a router that is killed
//! has charged for nothing that is not on record, and has lost no receipt of an answer that somebody
//! got. Files are synced to the disk after a second if Redis does not have all of them by then: a
//! machine that loses its power loses the last second at the most.

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
use streamsync_registry::{Debit, ReceiptProgress, Registry, RegistryError};
use tokio::sync::Notify;

/// The name of the router's key pair in the folder.
const KEY_FILE: &str = "router.json";
/// How often what Redis does not have is synced to the disk.
const SYNCED_AFTER: Duration = Duration::from_secs(1);
/// After how long a file is closed.
const CLOSED_AFTER: Duration = Duration::from_secs(60);
/// How many files are kept for receipts that Redis has.
const MOST_FILES: usize = 10_000;
/// How often Redis is asked how far receipts are recorded and settled.
const ASKED_EVERY: Duration = Duration::from_secs(5);
/// From how many bytes on a file is closed.
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
    /// A file is gone from between others.
    #[error(
        "the receipts from number {from} to {to} are missing in {folder}, between others: put the file back, or \
         move those before it away to go on", folder = .folder.display()
    )]
    Missing {
        /// The first that is missing.
        from: u64,
        /// The last.
        to: u64,
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
    limits: Limits,
    clock: SharedClock,
    state: Mutex<State>,
    written: Notify,
}

/// How many bytes of receipts are kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Of those that Redis does not have; more are refused.
    pub waiting: u64,
    /// Of those that Redis has and that are not settled; the oldest of more are deleted.
    pub recorded: u64,
}

/// The file that is written to.
struct Open {
    file: File,
    /// When it was created.
    since: Duration,
    /// When it was synced last, and the number of the next receipt then.
    synced: (Duration, u64),
}

struct State {
    /// The number of the next receipt.
    next: u64,
    /// Files with receipts, oldest first. The last one may be open.
    segments: VecDeque<Segment>,
    open: Option<Open>,
    /// The number of the last receipt that Redis has; `None` until it was asked.
    told: Option<u64>,
    /// The number of the last receipt that is settled, as far as is known.
    settled: u64,
    /// When Redis was asked for both.
    asked: Option<Duration>,
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
    pub fn open(folder: &Path, limits: Limits, clock: SharedClock) -> Result<Self, JournalError> {
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
            limits,
            clock,
            state: Mutex::new(State {
                next: last.map_or(1, |segment| segment.first + segment.lines),
                segments,
                open: None,
                told: None,
                settled: 0,
                asked: None,
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
        let told = state.told.unwrap_or_default();
        let waiting = state.segments.iter().rev();
        let waiting = waiting.take_while(|segment| !segment.is_told(told));
        let bytes = waiting.map(|segment| segment.bytes).sum();
        if bytes >= self.limits.waiting {
            return Err(JournalError::Full {
                bytes,
                limit: self.limits.waiting,
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
        let (Some(segment), Some(Open { file, .. })) = (segments.back_mut(), open) else {
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
        state.open = Some(Open {
            file,
            since: now,
            synced: (now, state.next),
        });
        state.segments.push_back(segment);
        Ok(())
    }

    /// Waits until there is something to tell, or a while.
    pub(crate) async fn has_more(&self) {
        let _ = tokio::time::timeout(SYNCED_AFTER, self.written.notified()).await;
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

    /// Tells Redis all that it does not have. What it has lost it is told again.
    pub(crate) async fn tell(&self, registry: &Registry) -> Result<(), JournalError> {
        let now = self.clock.monotonic();
        let asked = self.state().asked;
        if asked.is_none_or(|asked| now.saturating_sub(asked) >= ASKED_EVERY) {
            let progress = registry.receipt_progress(self.router()).await?;
            self.learn(progress)?;
            self.state().asked = Some(now);
        }
        while let Some((process, first, debits)) = self.next_batch().await? {
            let holder = self.holder_of(process);
            let oldest = self.oldest();
            let told = registry
                .record_receipts(self.router(), &holder, oldest, first, &debits)
                .await?;
            if told < first {
                // It would have begun there, if that was here.
                if self.state().told == Some(told) {
                    let (from, to) = (told + 1, first - 1);
                    let folder = self.folder.clone();
                    return Err(JournalError::Missing { from, to, folder });
                }
                tracing::warn!(
                    from = told + 1,
                    "Redis has lost receipts, and is told them again"
                );
            }
            self.state().told = Some(told);
        }
        Ok(())
    }

    /// The number of the oldest receipt that is still here.
    fn oldest(&self) -> u64 {
        let state = self.state();
        let oldest = state.segments.front();
        oldest.map_or(state.next, |segment| segment.first)
    }

    /// Learns which receipts Redis has, and which are settled. Numbers that it has already are not
    /// used again: what was written under them would be taken for told.
    fn learn(&self, progress: ReceiptProgress) -> Result<(), JournalError> {
        let ReceiptProgress {
            recorded,
            settled,
            charged,
        } = progress;
        let mut state = self.state();
        // A Redis that was emptied hears from the settlement, or from a backup, how far it was.
        let told = recorded.max(settled).max(charged);
        if told >= state.next {
            state.broken = true;
            let folder = self.folder.clone();
            return Err(JournalError::OldCopy { told, folder });
        }
        state.told = Some(recorded);
        state.settled = state.settled.max(settled);
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

    /// Syncs the open file if Redis does not have all of it, and closes it after a while.
    pub(crate) async fn close(&self) -> Result<(), JournalError> {
        let now = self.clock.monotonic();
        let (file, next) = {
            let mut state = self.state();
            let State {
                segments,
                open,
                told,
                next,
                ..
            } = &mut *state;
            let (Some(Open { file, synced, .. }), Some(newest)) = (&*open, segments.back()) else {
                return Ok(());
            };
            let (since, synced) = *synced;
            let waits = !newest.is_told(told.unwrap_or_default()) && synced < *next;
            let due = waits && now.saturating_sub(since) >= SYNCED_AFTER;
            let file = match due {
                true => Some(file.try_clone().map_err(|source| JournalError::File {
                    action: "sync receipts in",
                    path: newest.path.clone(),
                    source,
                })?),
                false => None,
            };
            let ends = |open: &mut Open| {
                newest.bytes >= CLOSED_FROM || now.saturating_sub(open.since) >= CLOSED_AFTER
            };
            // What waits is synced before it is closed.
            if due || !waits {
                open.take_if(ends);
            }
            (file, *next)
        };
        let Some(file) = file else {
            return Ok(());
        };
        let synced = self
            .on_disk("sync receipts in", move |folder| {
                file.sync_data()?;
                File::open(folder)?.sync_all()
            })
            .await;
        if let Some(open) = &mut self.state().open {
            // After a failure it is tried again as soon.
            let reached = if synced.is_ok() { next } else { open.synced.1 };
            open.synced = (now, reached.max(open.synced.1));
        }
        synced
    }

    /// Deletes files that are settled, and the oldest of those that Redis has if there are too many.
    /// The newest stays: it says where the numbers go on. What earlier processes of this router held
    /// of clients' credit is given back before their files go: whoever dies in between does it again.
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
            let mut bytes: u64 = state.segments.iter().map(|segment| segment.bytes).sum();
            while state.segments.len() > 1 {
                let oldest = &state.segments[0];
                let done = oldest.process == self.process || oldest.ended;
                let many = bytes > self.limits.recorded || state.segments.len() > MOST_FILES;
                if !done || !oldest.is_told(last) || !(many || oldest.is_told(state.settled)) {
                    break;
                }
                bytes -= oldest.bytes;
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
