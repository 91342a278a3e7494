//! From a source into the lake.

use crate::{
    BlockRows, DecodeError, Failure, Found, ReadError, Report, RowsError, Source, SourceError,
    batch::Batch,
    lineage::Lineage,
    progress::{Done, Progress},
    source::Unread,
    writer::Writer,
};
use futures::{FutureExt, StreamExt, future::BoxFuture};
use std::{sync::Arc, time::Duration};
use streamsync_core::{
    InvalidTableName, Slot,
    clock::{SharedClock, SystemClock},
};
use streamsync_lake::{
    AppendError, CoverageError, CreateTableError, Lake, OpenTableError, SlotSet,
};
use tokio::sync::mpsc;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// How to ingest.
#[derive(Clone)]
pub struct IngestOptions {
    /// Whether the first failure ends it.
    pub strict: bool,
    /// How many blocks are decoded at the same time.
    pub decoders: usize,
    /// A batch is committed when it has this many rows.
    pub max_batch_rows: u64,
    /// A batch is committed when its rows take this many bytes of memory.
    pub max_batch_bytes: u64,
    /// A batch is committed when it has this many blocks.
    pub max_batch_blocks: usize,
    /// Ends it when cancelled, after the batch under way.
    pub stop: CancellationToken,
    /// What the time is read from.
    pub clock: SharedClock,
}

impl Default for IngestOptions {
    fn default() -> Self {
        Self {
            strict: false,
            decoders: std::thread::available_parallelism().map_or(2, usize::from),
            max_batch_rows: 1_000_000,
            max_batch_bytes: 512 << 20,
            max_batch_blocks: 2_000,
            stop: CancellationToken::new(),
            clock: Arc::new(SystemClock),
        }
    }
}

/// Why an ingest ended early. What was committed before stays; nothing is there by half, and the
/// next ingest goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The tables could not be created.
    #[error("could not create the tables to ingest into")]
    Create(#[from] CreateTableError),
    /// A table could not be opened.
    #[error("could not open a table to ingest into")]
    Open(#[from] OpenTableError),
    /// What a table has could not be read.
    #[error("could not read which slots a table has")]
    Coverage(#[from] CoverageError),
    /// A definition has a name that no table can have.
    #[error("could not name a table to ingest into")]
    Name(#[from] InvalidTableName),
    /// Rows could not be appended.
    #[error("could not append to table `{table}`; ingest again to go on")]
    Append {
        /// The table.
        table: &'static str,
        /// The cause.
        #[source]
        source: Box<AppendError>,
    },
    /// The source ended with an error.
    #[error("the source of blocks gave up")]
    Source {
        /// The cause.
        #[source]
        source: SourceError,
        /// What was ingested before.
        report: Box<Report>,
    },
    /// Something could not be ingested, and the ingest is strict.
    #[error("could not ingest {failure}")]
    Failed {
        /// What, and why.
        failure: Failure,
        /// What was ingested before.
        report: Box<Report>,
    },
}

/// Ingests all that a source has and the lake does not have, exactly once however often it is
/// repeated, interrupted, or done by several at the same time.
pub async fn ingest(
    source: impl Source,
    lake: &Lake,
    options: IngestOptions,
    progress: Arc<dyn Progress>,
) -> Result<Report, IngestError> {
    progress.started(&source.describe());
    let writer = Writer::open(lake, progress.clone()).await?;
    let covered = Arc::new(writer.covered());
    let mut run = Run {
        started: options.clock.monotonic(),
        options,
        progress,
        writer,
        present: (*covered).clone(),
        batch: Batch::default(),
        lineage: Lineage::default(),
        done: Done::default(),
        report: Report::default(),
    };
    let ended = run.take_all(source, covered).await?;
    run.flush().await?;
    let (progress, report) = (run.progress.clone(), run.finish().await?);
    progress.finished(&report);
    match ended {
        Ended::Well => Ok(report),
        Ended::Source(source) => Err(IngestError::Source {
            source,
            report: Box::new(report),
        }),
        Ended::Strict(failure) => Err(IngestError::Failed {
            failure,
            report: Box::new(report),
        }),
    }
}

/// How reading ended.
enum Ended {
    Well,
    Source(SourceError),
    Strict(Failure),
}

/// What comes out of the source, decoded.
enum Ready {
    Expected(u64),
    Block(BlockRows),
    Covered(Slot),
    Skipped(Slot, Slot),
    Failed(Failure),
    Over(SourceError),
}

struct Run {
    started: Duration,
    options: IngestOptions,
    progress: Arc<dyn Progress>,
    writer: Writer,
    /// What the lake has, or will have once the batch is written.
    present: SlotSet,
    batch: Batch,
    lineage: Lineage,
    done: Done,
    report: Report,
}

impl Run {
    async fn take_all(
        &mut self,
        source: impl Source,
        covered: Arc<SlotSet>,
    ) -> Result<Ended, IngestError> {
        let decoders = self.options.decoders.max(1);
        let (sender, mut receiver) = mpsc::channel(decoders);
        let mut ready = source
            .read(covered.clone())
            .map(move |found| decode(found, &covered))
            .buffered(decoders);
        // Reads ahead while a batch is being written, as far as the channel has room.
        let reader = tokio::spawn(async move {
            while let Some(ready) = ready.next().await {
                if sender.send(ready).await.is_err() {
                    break;
                }
            }
        });
        let _reader = AbortOnDropHandle::new(reader);
        let stop = self.options.stop.clone();
        loop {
            let next = tokio::select! {
                biased;
                () = stop.cancelled() => {
                    self.report.stopped = true;
                    return Ok(Ended::Well);
                }
                next = receiver.recv() => next,
            };
            match next {
                None => return Ok(Ended::Well),
                Some(Ready::Over(error)) => return Ok(Ended::Source(error)),
                Some(ready) => self.take(ready).await?,
            }
            if self.options.strict
                && let Some(failure) = self.report.failures.first()
            {
                return Ok(Ended::Strict(failure.clone()));
            }
        }
    }

    async fn take(&mut self, ready: Ready) -> Result<(), IngestError> {
        match ready {
            Ready::Expected(slots) => {
                self.progress.expected(slots);
                return Ok(());
            }
            Ready::Covered(slot) => {
                self.report.already_there.insert(slot);
                self.done.slots += 1;
            }
            Ready::Skipped(first, last) => {
                self.lineage.claim(first, last);
                self.report.skipped.insert_range(first, last);
                self.done.slots += last.0.saturating_sub(first.0).saturating_add(1);
            }
            Ready::Block(rows) => {
                self.done.slots += 1;
                self.done.rows += rows.rows();
                self.add(rows);
                if self.batch_is_full() {
                    self.flush().await?;
                }
            }
            Ready::Failed(failure) => self.fail(failure),
            Ready::Over(_) => {}
        }
        self.progress.advanced(self.done);
        Ok(())
    }

    fn add(&mut self, rows: BlockRows) {
        let (slot, parent) = (rows.slot, rows.parent_slot);
        let proved = self.lineage.add(slot, parent);
        if self.present.contains(slot) {
            // Twice in the source, or its slot was not known before it was decoded.
            if !self.report.ingested.contains(slot) && !self.batch.blocks().contains(slot) {
                self.report.already_there.insert(slot);
            }
            return;
        }
        for (first, last) in proved.ranges() {
            self.present.insert_range(first, last);
        }
        self.present.insert(slot);
        if self.report.skipped.contains(parent) {
            let origin = format!("the block of slot {slot}, whose parent it is");
            self.report.skipped = self.report.skipped.difference(&one(parent));
            self.fail(Failure {
                slots: Some((parent, parent)),
                origin,
                cause: "it was said to be skipped, but it has a block".to_owned(),
            });
        }
        self.batch.push(rows, &proved);
    }

    fn batch_is_full(&self) -> bool {
        let options = &self.options;
        self.batch.rows() >= options.max_batch_rows
            || self.batch.bytes() >= options.max_batch_bytes
            || self.batch.len() >= options.max_batch_blocks
    }

    fn fail(&mut self, failure: Failure) {
        self.progress.failed(&failure);
        self.done.slots += 1;
        self.report.failures.push(failure);
        self.progress.advanced(self.done);
    }

    async fn flush(&mut self) -> Result<(), IngestError> {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        let written = self.writer.write(&batch).await?;
        let others = batch.blocks().difference(&written.slots);
        self.report.ingested = self.report.ingested.union(&written.slots);
        self.report.already_there = self.report.already_there.union(&others);
        self.report.bytes += written.bytes;
        for (table, rows) in written.rows {
            *self.report.rows.entry(table).or_default() += rows;
        }
        self.lineage.settle(&self.present);
        Ok(())
    }

    async fn finish(mut self) -> Result<Report, IngestError> {
        let mut missing = self.lineage.missing(&self.present);
        if !missing.is_empty() {
            // Another ingest may have added them meanwhile.
            let covered = self.writer.refresh().await?;
            missing.retain(|gap| !covered.contains(gap.parent_slot));
        }
        let now = self.options.clock.monotonic();
        Ok(Report {
            elapsed: now.saturating_sub(self.started),
            missing_parents: missing,
            ..self.report
        })
    }
}

fn one(slot: Slot) -> SlotSet {
    std::iter::once(slot).collect()
}

fn decode(found: Result<Found, SourceError>, covered: &SlotSet) -> BoxFuture<'static, Ready> {
    let ready = match found {
        Err(error) => Ready::Over(error),
        Ok(Found::Expected(slots)) => Ready::Expected(slots),
        Ok(Found::Covered(slot)) => Ready::Covered(slot),
        Ok(Found::Skipped(first, last)) => Ready::Skipped(first, last),
        Ok(Found::Failed(failure)) => Ready::Failed(failure),
        Ok(Found::Block(unread)) => match unread.slot {
            Some(slot) if covered.contains(slot) => Ready::Covered(slot),
            _ => return decode_block(unread).boxed(),
        },
    };
    futures::future::ready(ready).boxed()
}

async fn decode_block(unread: Unread) -> Ready {
    let Unread { slot, origin, read } = unread;
    let decoded = tokio::task::spawn_blocking(move || -> Result<BlockRows, BlockError> {
        let block = read()?;
        Ok(BlockRows::build(&block)?)
    });
    match decoded.await {
        Ok(Ok(rows)) => Ready::Block(rows),
        Ok(Err(error)) => Ready::Failed(Failure::new(error.slot().or(slot), origin, &error)),
        Err(error) => Ready::Failed(Failure::new(slot, origin, &error)),
    }
}

/// Why a block has no rows.
#[derive(Debug, thiserror::Error)]
enum BlockError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Rows(#[from] RowsError),
}

impl BlockError {
    /// The slot, where the error knows it.
    fn slot(&self) -> Option<Slot> {
        match self {
            Self::Read(ReadError::Decode(
                DecodeError::Details { slot }
                | DecodeError::Parent { slot, .. }
                | DecodeError::Field { slot, .. }
                | DecodeError::Transaction { slot, .. },
            )) => Some(*slot),
            _ => None,
        }
    }
}
