//! Merging files: copies, one sort, new files, one commit.

use crate::{
    Observer,
    plan::Merge,
    scratch::{Scratch, ScratchError},
    sorter::Sorter,
};
use arrow::array::RecordBatch;
use futures::{StreamExt, TryStreamExt, stream};
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use streamsync_core::config::CompactorConfig;
use streamsync_lake::{
    AppendError, DataFile, DownloadError, EncodeError, NewFile, Replace, ReplaceError, Replaced,
    SortedWriter, StagedFile, Table,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How many files are copied at the same time.
const COPIES_AT_ONCE: usize = 8;
/// How many batches of sorted rows wait to be encoded.
const BATCHES_WAITING: usize = 16;
/// How many encoded files wait to be put into the bucket.
const FILES_WAITING: usize = 1;

/// What became of a merge.
#[derive(Clone, Debug)]
pub enum Merged {
    /// It was committed.
    Done {
        /// The table after it.
        table: Table,
        /// The number of new files.
        files: usize,
        /// The number of rows in them.
        rows: u64,
        /// Their size, in bytes.
        bytes: u64,
        /// How many rows were left out because they were there twice.
        duplicates: u64,
    },
    /// Another compactor has merged or deleted some of the files; nothing was changed.
    Superseded(Table),
}

/// Why files were not merged. They are as they were; what a failed merge has put into the bucket is
/// deleted, or else by the next vacuum.
#[derive(Debug, thiserror::Error)]
pub enum MergeError {
    /// It was told to stop.
    #[error("the merge was stopped")]
    Stopped,
    /// There is no folder to copy the files to.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// A file could not be copied.
    #[error("could not copy a file that is to be merged")]
    Copy(#[source] Box<DownloadError>),
    /// DuckDB could not sort the rows.
    #[error("could not sort the rows that are to be merged")]
    Sort(#[from] duckdb::Error),
    /// The rows could not be encoded.
    #[error("could not make files of the merged rows")]
    Encode(#[from] EncodeError),
    /// A new file could not be put into the bucket.
    #[error("could not put merged rows into the bucket")]
    Stage(#[source] Box<AppendError>),
    /// The rows that came out are not as many as went in: DuckDB or a file is broken.
    #[error("{found} rows came of the {expected} in the files to be merged")]
    Rows {
        /// The number in the log.
        expected: u64,
        /// The number that was sorted.
        found: u64,
    },
    /// The commit failed.
    #[error("could not commit merged files")]
    Replace(#[source] Box<ReplaceError>),
    /// A thread ended early.
    #[error("a merge was broken off")]
    BrokenOff(#[from] tokio::task::JoinError),
}

macro_rules! boxed {
    ($($error:ident as $variant:ident),*) => {$(
        impl From<$error> for MergeError {
            fn from(error: $error) -> Self {
                Self::$variant(Box::new(error))
            }
        }
    )*};
}
boxed!(
    AppendError as Stage,
    DownloadError as Copy,
    ReplaceError as Replace
);

/// By what files are merged.
pub(crate) struct Merging<'a> {
    /// The columns that rows are sorted by.
    pub(crate) order: &'a [String],
    pub(crate) config: &'a CompactorConfig,
    pub(crate) scratch: &'a Scratch,
    pub(crate) observer: &'a Arc<dyn Observer>,
}

/// Merges files of a table, and commits that.
pub(crate) async fn merge(
    table: &Table,
    merge: &Merge,
    by: &Merging<'_>,
    stop: &CancellationToken,
) -> Result<Merged, MergeError> {
    let mut staged = Vec::new();
    let written = write(table, merge, by, stop, &mut staged).await;
    let duplicates = match written {
        Ok(duplicates) => duplicates,
        Err(error) => {
            table.discard(&staged).await;
            return Err(error);
        }
    };
    let (files, rows) = (staged.len(), staged.iter().map(StagedFile::rows).sum());
    let bytes = staged.iter().map(StagedFile::bytes).sum();
    let expected = merge
        .files
        .iter()
        .map(|file| file.rows)
        .sum::<Option<u64>>();
    if let Some(expected) = expected.filter(|expected| *expected != rows + duplicates) {
        table.discard(&staged).await;
        let found = rows + duplicates;
        return Err(MergeError::Rows { expected, found });
    }
    let replaced = table
        .replace(Replace {
            remove: merge.files.clone(),
            add: staged,
            // Without the rows that were there twice there are other rows than before.
            data_change: duplicates > 0,
            ..Replace::default()
        })
        .await?;
    Ok(match replaced {
        Replaced::Committed(table) => Merged::Done {
            table,
            files,
            rows,
            bytes,
            duplicates,
        },
        Replaced::Superseded(table) => Merged::Superseded(table),
    })
}

/// Puts the merged files into the bucket, and tells how many rows were left out.
async fn write(
    table: &Table,
    merge: &Merge,
    by: &Merging<'_>,
    stop: &CancellationToken,
    staged: &mut Vec<StagedFile>,
) -> Result<u64, MergeError> {
    let Merging {
        order,
        config,
        scratch,
        observer,
    } = by;
    let folder = scratch.folder()?;
    let copied = local_files(table, &merge.files, folder.path(), observer);
    let copies = tokio::select! {
        biased;
        () = stop.cancelled() => return Err(MergeError::Stopped),
        copies = copied => copies.map_err(|error| *error)?,
    };
    let writer = table
        .sorted_writer(&merge.partition, merge.generation, config.target_file_bytes)
        .await?;
    let sorter = Sorter::open(folder.path(), &copies, config.memory_bytes, config.threads)?;
    let interrupt = sorter.interrupt_handle();

    let (sorted, to_encode) = mpsc::channel(BATCHES_WAITING);
    let (encoded, mut to_stage) = mpsc::channel(FILES_WAITING);
    let sorting = {
        let (table, order) = (table.clone(), order.to_vec());
        tokio::task::spawn_blocking(move || {
            sorter.sort(&table, &copies, &order, |rows| {
                // Whoever encodes has failed, and says so.
                sorted.blocking_send(rows).map_err(|_| MergeError::Stopped)
            })
        })
    };
    let encoding = tokio::task::spawn_blocking(move || encode(writer, to_encode, &encoded));
    let staging = async {
        while let Some(file) = to_stage.recv().await {
            let file = table.stage(file).await?;
            observer.wrote(file.bytes());
            staged.push(file);
        }
        Ok::<(), MergeError>(())
    };
    let stopped = tokio::select! {
        biased;
        () = stop.cancelled() => Some(MergeError::Stopped),
        staging = staging => staging.err(),
    };
    if stopped.is_some() {
        // The threads end: one by this, the other because nobody takes its files.
        drop(to_stage);
        interrupt.interrupt();
    }
    let (sorting, encoding) = (sorting.await?, encoding.await?);
    if let Some(error) = stopped {
        return Err(error);
    }
    let duplicates = encoding?;
    sorting?;
    Ok(duplicates)
}

/// Files on the local disk: those of a lake that is a folder itself, otherwise copies in a folder,
/// which is made when it is not there.
pub(crate) async fn local_files(
    table: &Table,
    files: &[DataFile],
    folder: &Path,
    observer: &Arc<dyn Observer>,
) -> Result<Vec<PathBuf>, Box<MergeError>> {
    let there: Option<Vec<PathBuf>> = files.iter().map(|file| table.local_path(file)).collect();
    if let Some(there) = there {
        files.iter().for_each(|file| observer.read(file.size));
        return Ok(there);
    }
    let made = std::fs::create_dir_all(folder);
    made.map_err(|source| {
        let path = folder.display().to_string();
        MergeError::from(DownloadError::Write { path, source })
    })?;
    let copies: Vec<_> = files
        .iter()
        .enumerate()
        .map(|(number, file)| {
            let to = folder.join(format!("{number}.parquet"));
            copy(table, file, to, observer)
        })
        .collect();
    let copied: Result<Vec<PathBuf>, MergeError> = stream::iter(copies)
        .buffered(COPIES_AT_ONCE)
        .try_collect()
        .await;
    Ok(copied?)
}

async fn copy(
    table: &Table,
    file: &DataFile,
    to: PathBuf,
    observer: &Arc<dyn Observer>,
) -> Result<PathBuf, MergeError> {
    let opened = std::fs::File::create_new(&to).map_err(|source| DownloadError::Write {
        path: to.display().to_string(),
        source,
    })?;
    table.download(file, opened).await?;
    observer.read(file.size);
    Ok(to)
}

/// Makes files of sorted rows; how many were left out.
fn encode(
    mut writer: SortedWriter,
    mut rows: mpsc::Receiver<RecordBatch>,
    files: &mpsc::Sender<NewFile>,
) -> Result<u64, MergeError> {
    let send = |file| {
        files
            .blocking_send(file)
            .map_err(|_gone| MergeError::Stopped)
    };
    while let Some(rows) = rows.blocking_recv() {
        writer.write(&rows)?.into_iter().try_for_each(send)?;
    }
    let (last, duplicates) = writer.finish()?;
    last.into_iter().try_for_each(send)?;
    Ok(duplicates)
}
