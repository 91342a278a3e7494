//! Writing batches into the lake, exactly once.

use crate::{batch::Batch, pipeline::IngestError, progress::Progress};
use futures::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};
use std::sync::Arc;
use streamsync_core::TableName;
use streamsync_lake::{Append, AppendError, Appended, Lake, SlotSet, Table, tables};

/// How many tables are appended to at the same time.
const CONCURRENT_APPENDS: usize = 4;

/// The tables of the lake, with what each of them has.
pub(crate) struct Writer {
    /// In the order of the definitions; `blocks` is the last.
    tables: Vec<Target>,
    progress: Arc<dyn Progress>,
}

struct Target {
    name: &'static str,
    table: Table,
    covered: SlotSet,
}

/// What one batch added.
#[derive(Debug, Default)]
pub(crate) struct Written {
    /// The number of rows by table.
    pub(crate) rows: Vec<(&'static str, u64)>,
    /// The size of the files.
    pub(crate) bytes: u64,
    /// The slots whose blocks were not there before.
    pub(crate) slots: SlotSet,
}

/// What one table got.
#[derive(Default)]
struct Added {
    table: &'static str,
    rows: u64,
    bytes: u64,
    slots: SlotSet,
}

impl Writer {
    /// Creates the tables that are missing and opens all.
    pub(crate) async fn open(
        lake: &Lake,
        progress: Arc<dyn Progress>,
    ) -> Result<Self, IngestError> {
        lake.create_tables().await?;
        let opening = tables::chain().iter();
        let opening: Vec<BoxFuture<'_, _>> = opening
            .map(|definition| open_table(lake, definition.name).boxed())
            .collect();
        let tables = stream::iter(opening)
            .buffered(CONCURRENT_APPENDS)
            .try_collect()
            .await?;
        Ok(Self { tables, progress })
    }

    /// The slots that are in every table: `blocks` gets them last.
    pub(crate) fn covered(&self) -> SlotSet {
        self.tables
            .last()
            .map(|blocks| blocks.covered.clone())
            .unwrap_or_default()
    }

    /// The same, with what others have written meanwhile.
    pub(crate) async fn refresh(&mut self) -> Result<SlotSet, IngestError> {
        if let Some(blocks) = self.tables.last_mut() {
            blocks.table = blocks.table.refresh().await?;
            blocks.covered = blocks.table.coverage().await?;
        }
        Ok(self.covered())
    }

    /// Adds to every table what it does not have yet, to `blocks` last.
    pub(crate) async fn write(&mut self, batch: &Batch) -> Result<Written, IngestError> {
        let progress = &self.progress;
        let Some((blocks, others)) = self.tables.split_last_mut() else {
            return Ok(Written::default());
        };
        let last = others.len();
        let appends = others.iter_mut().enumerate();
        let appends: Vec<BoxFuture<'_, _>> = appends
            .map(|(index, target)| target.append(index, batch, progress.as_ref()).boxed())
            .collect();
        let added: Vec<_> = stream::iter(appends)
            .buffer_unordered(CONCURRENT_APPENDS)
            .try_collect()
            .await?;
        let added_blocks = blocks.append(last, batch, progress.as_ref()).await?;
        let mut written = Written {
            slots: added_blocks.slots.intersection(&batch.blocks()),
            ..Written::default()
        };
        for added in added.into_iter().chain([added_blocks]) {
            written.rows.push((added.table, added.rows));
            written.bytes += added.bytes;
        }
        Ok(written)
    }
}

async fn open_table(lake: &Lake, name: &'static str) -> Result<Target, IngestError> {
    let table = lake.table(&TableName::new(name)?).await?;
    let covered = table.coverage().await?;
    Ok(Target {
        name,
        table,
        covered,
    })
}

impl Target {
    /// Appends the slots that the table does not have. Another writer may add some of them at the
    /// same time: then those are left out and the others tried again.
    async fn append(
        &mut self,
        index: usize,
        batch: &Batch,
        progress: &dyn Progress,
    ) -> Result<Added, IngestError> {
        let nothing = Added {
            table: self.name,
            ..Added::default()
        };
        loop {
            let slots = batch.covers().difference(&self.covered);
            if slots.is_empty() {
                return Ok(nothing);
            }
            let append = Append {
                batches: batch.table(index, &slots),
                covers: Some(slots.clone()),
                transaction: None,
            };
            match self.table.append(append).await {
                Ok(Appended::Committed {
                    table, rows, bytes, ..
                }) => {
                    self.table = table;
                    self.covered = self.covered.union(&slots);
                    progress.committed(self.name, rows);
                    return Ok(Added {
                        rows,
                        bytes,
                        slots,
                        ..nothing
                    });
                }
                Ok(Appended::AlreadyThere { table }) => {
                    self.table = table;
                    self.covered = self.covered.union(&slots);
                    return Ok(nothing);
                }
                Err(AppendError::Covered {
                    slots: there,
                    table,
                }) if !there.intersection(&slots).is_empty() => {
                    self.table = table;
                    self.covered = self.covered.union(&there);
                }
                Err(source) => {
                    return Err(IngestError::Append {
                        table: self.name,
                        source: Box::new(source),
                    });
                }
            }
        }
    }
}
