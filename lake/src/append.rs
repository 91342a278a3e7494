//! Appending rows, exactly once.

use crate::{
    CommitError, CoverageError, OpenTableError, SlotSet, Table,
    commit::{Change, Commit, commit},
    engine::plain,
    file_writer::{EncodeError, NewFile, encode},
    table::CheckpointError,
};
use arrow::record_batch::RecordBatch;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{Attributes, ObjectStoreExt, buffered::BufWriter, path::Path};
use std::{error::Error, ops::ControlFlow, sync::Arc};
use streamsync_core::TableName;
use tokio::io::AsyncWriteExt;

/// How many files are put into the bucket at the same time.
const PUTS_AT_ONCE: usize = 16;
/// Larger files go up in parts of this size.
const PUT_PART: usize = 8 * 1024 * 1024;
/// A checkpoint is written after every so many commits.
const CHECKPOINT_INTERVAL: u64 = 100;

/// What to append to a table in one Delta commit.
#[derive(Clone, Debug, Default)]
pub struct Append {
    /// The rows, in the table's schema (partition columns included), in any order. None of them,
    /// to record only what is covered.
    pub batches: Vec<RecordBatch>,
    /// The slots whose rows these are, all of them: a slot is appended once and never again. Slots
    /// that are known to have no rows belong here too.
    pub covers: Option<SlotSet>,
    /// The transaction that this append is, by which a repetition is recognised.
    pub transaction: Option<TransactionId>,
}

/// A Delta transaction identifier: the application's name for a sequence of appends, and the
/// place of this one in it. A table that has recorded a version takes only higher ones.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TransactionId {
    /// Who appends.
    pub app_id: String,
    /// The number of the append, ascending.
    pub version: i64,
}

/// What became of an append.
#[derive(Clone, Debug)]
pub enum Appended {
    /// It was committed.
    Committed {
        /// The table with the rows.
        table: Table,
        /// The number of files that were added.
        files: usize,
        /// The number of rows.
        rows: u64,
        /// The size of the files.
        bytes: u64,
    },
    /// The transaction, or every slot it covers, had been committed before; nothing was changed.
    AlreadyThere {
        /// The newest version of the table.
        table: Table,
    },
}

/// Why rows could not be appended. Except after [`CommitError::Unknown`], nothing was appended;
/// after that, appending again with the same transaction or slots finds out.
#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Some of the slots, not all, are in the table already. Leave them out and append again.
    #[error(
        "could not append to table `{}`: it has {} of the slots already; leave them out: {slots}",
        table.name(),
        slots.len()
    )]
    Covered {
        /// The slots that the table has.
        slots: SlotSet,
        /// The newest version of the table.
        table: Table,
    },
    /// The rows do not fit the table, or could not be made into files.
    #[error("could not make files of the rows for table `{table}`")]
    Encode {
        /// The table.
        table: TableName,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// A file could not be put into the bucket.
    #[error("could not write the file {path} of table `{table}`")]
    Write {
        /// The table.
        table: TableName,
        /// The file's path in the bucket.
        path: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The newest version of the table could not be read.
    #[error("could not read the newest version of the table before appending to it")]
    Open(#[from] OpenTableError),
    /// What the newest version covers could not be read.
    #[error("could not read what the table covers before appending to it")]
    Coverage(#[from] CoverageError),
    /// What the newest version has of the transaction could not be read.
    #[error("could not read the transactions of table `{table}` before appending to it")]
    Transactions {
        /// The table.
        table: TableName,
        /// The cause.
        #[source]
        source: Box<delta_kernel::Error>,
    },
    /// The commit was not made, or it cannot be told.
    #[error(transparent)]
    Commit(#[from] CommitError),
}

impl Table {
    /// Appends rows to the newest version of the table in one commit, exactly once.
    ///
    /// The rows are split by partition, sorted, and written as Parquet files, which nobody sees
    /// until the commit names them. Two writers at once both succeed. A writer that dies leaves
    /// the table as it was; what it has written is swept up later, and doing the same append again
    /// completes it, or finds it complete.
    ///
    /// # Errors
    ///
    /// See [`AppendError`].
    pub async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let newest = self.refresh().await?;
        if let Some(done) = already(&newest, &append).await? {
            return Ok(done);
        }
        let files = write_files(&newest, &append.batches).await?;
        let written = Written::of(&files);
        let appending = Appending {
            append: &append,
            files: &files,
        };
        let outcome = match commit(newest, &appending).await {
            Ok(ControlFlow::Continue(table)) => Ok(Appended::Committed {
                table,
                files: files.len(),
                rows: files.iter().map(|file| file.rows).sum(),
                bytes: files.iter().map(|file| file.bytes.len() as u64).sum(),
            }),
            Ok(ControlFlow::Break(already)) => Ok(already),
            Err(error) => Err(error),
        };
        match &outcome {
            Ok(Appended::Committed { table, .. }) => table.checkpoint_when_due().await,
            Err(AppendError::Commit(CommitError::Unknown { .. })) => {}
            Ok(Appended::AlreadyThere { .. }) | Err(_) => written.delete(self).await,
        }
        outcome
    }

    pub(crate) async fn checkpoint_when_due(&self) {
        if !self.version().is_multiple_of(CHECKPOINT_INTERVAL) {
            return;
        }
        // The rows are committed, and the next writer tries again.
        if let Err(error) = self.checkpoint().await {
            let CheckpointError { source, .. } = &error;
            tracing::warn!(table = %self.name(), cause = %source, "{error}");
        }
    }
}

impl Table {
    /// The version of the last transaction of an application; `None` before the first.
    ///
    /// # Errors
    ///
    /// [`AppendError::Transactions`].
    pub async fn transaction(&self, app_id: &str) -> Result<Option<i64>, AppendError> {
        let snapshot = Arc::clone(self.snapshot());
        let app_id = app_id.to_owned();
        let engine = self.lake().engine();
        engine
            .run(move |engine| snapshot.get_app_id_version(&app_id, engine))
            .await
            .map_err(|source| AppendError::Transactions {
                table: self.name().clone(),
                source: plain(source),
            })
    }
}

/// Whether the table has this append already.
async fn already(table: &Table, append: &Append) -> Result<Option<Appended>, AppendError> {
    let done = || {
        Ok(Some(Appended::AlreadyThere {
            table: table.clone(),
        }))
    };
    if let Some(TransactionId { app_id, version }) = &append.transaction {
        let recorded = table.transaction(app_id).await?;
        if recorded.is_some_and(|recorded| recorded >= *version) {
            return done();
        }
    }
    let Some(covers) = &append.covers else {
        return Ok(None);
    };
    let slots = table.coverage().await?.intersection(covers);
    if slots.is_empty() {
        Ok(None)
    } else if slots == *covers {
        done()
    } else {
        Err(AppendError::Covered {
            slots,
            table: table.clone(),
        })
    }
}

/// Makes files of the rows and puts them into the bucket.
async fn write_files(table: &Table, batches: &[RecordBatch]) -> Result<Vec<NewFile>, AppendError> {
    if batches.is_empty() {
        return Ok(Vec::new());
    }
    let (encoder, batches) = (table.clone(), batches.to_vec());
    let files = table
        .lake()
        .engine()
        .run(move |engine| encode(engine, &encoder, &batches))
        .await
        .map_err(|source: EncodeError| AppendError::Encode {
            table: table.name().clone(),
            source: source.into(),
        })?;
    let puts: Vec<_> = files
        .iter()
        .map(|file| put(table, file, Attributes::new()))
        .collect();
    let put: Result<(), AppendError> = stream::iter(puts)
        .buffer_unordered(PUTS_AT_ONCE)
        .try_collect()
        .await;
    if let Err(error) = put {
        Written::of(&files).delete(table).await;
        return Err(error);
    }
    Ok(files)
}

/// Puts one file into the bucket, where nobody sees it yet.
pub(crate) async fn put(
    table: &Table,
    file: &NewFile,
    attributes: Attributes,
) -> Result<(), AppendError> {
    let store = Arc::clone(table.lake().store());
    let mut writer =
        BufWriter::with_capacity(store, file.path.clone(), PUT_PART).with_attributes(attributes);
    let written = async {
        writer.put(file.bytes.clone()).await?;
        writer.shutdown().await
    };
    written.await.map_err(|source| AppendError::Write {
        table: table.name().clone(),
        path: file.path.to_string(),
        source,
    })
}

/// An append whose files are in the bucket.
struct Appending<'a> {
    append: &'a Append,
    files: &'a [NewFile],
}

impl Change for Appending<'_> {
    type Ended = Appended;
    type Error = AppendError;

    async fn is_over(&self, newest: &Table) -> Result<Option<Appended>, AppendError> {
        already(newest, self.append).await
    }

    async fn commit(&self, newest: &Table) -> Result<Commit, AppendError> {
        let coverage = match &self.append.covers {
            Some(covers) => Some(newest.coverage().await?.union(covers)),
            None => None,
        };
        Ok(Commit {
            operation: "WRITE",
            adds: self.files.iter().map(|file| file.add.clone()).collect(),
            data_change: true,
            transaction: self.append.transaction.clone(),
            coverage,
            ..Commit::default()
        })
    }
}

/// Files that were put into the bucket, and that no version names yet.
pub(crate) struct Written(pub(crate) Vec<Path>);

impl Written {
    pub(crate) fn of(files: &[NewFile]) -> Self {
        Self(files.iter().map(|file| file.path.clone()).collect())
    }

    /// Deletes them, as far as that succeeds: no version names them, so they harm nobody.
    pub(crate) async fn delete(self, table: &Table) {
        for path in self.0 {
            if let Err(error) = table.lake().store().delete(&path).await {
                tracing::warn!(table = %table.name(), %path, cause = %error,
                    "could not delete a file that was not committed; vacuum will");
            }
        }
    }
}
