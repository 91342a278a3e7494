//! Replacing files by others.

use crate::{
    AppendError, CommitError, DataFile, ListFilesError, NewFile, Table,
    append::{Written, put},
    commit::{Change, Commit, commit},
};
use arrow::record_batch::RecordBatch;
use object_store::{Attributes, path::Path};
use std::{collections::BTreeSet, ops::ControlFlow};

/// A file in the bucket that no version of the table names yet.
#[derive(Clone, Debug)]
pub struct StagedFile {
    path: Path,
    add: RecordBatch,
    rows: u64,
    bytes: u64,
}

impl StagedFile {
    /// A file that was put into the bucket.
    pub(crate) fn of(file: NewFile) -> Self {
        Self {
            bytes: file.bytes.len() as u64,
            path: file.path,
            add: file.add,
            rows: file.rows,
        }
    }

    /// The number of rows.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The size in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Files that go out of a table and files that come into it, in one commit.
#[derive(Clone, Debug, Default)]
pub struct Replace {
    /// The files that go; the commit is made only if all of them are still there.
    pub remove: Vec<DataFile>,
    /// The files that come.
    pub add: Vec<StagedFile>,
    /// Whether the table has other rows after it. Where it only keeps the same rows otherwise,
    /// those who follow changes of the table need not look at it.
    pub data_change: bool,
    /// What is kept in Delta's domain metadata from this commit on, by domain.
    pub domains: Vec<(String, String)>,
    /// Whether the commit may only be made right after this version of the table: for one that was
    /// computed from everything in it.
    pub only_now: bool,
}

/// What became of a replacement.
#[derive(Clone, Debug)]
pub enum Replaced {
    /// It was committed, and this is the table after it.
    Committed(Table),
    /// Somebody else has removed some of the files, or, with [`Replace::only_now`], committed
    /// anything. Nothing was changed, and the staged files were deleted.
    Superseded(Table),
}

/// Why files could not be replaced. Except after [`CommitError::Unknown`], nothing was.
#[derive(Debug, thiserror::Error)]
pub enum ReplaceError {
    /// The commit was not made, or it cannot be told.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// It could not be told which files the newest version has.
    #[error("could not tell whether the files to replace are still there")]
    List(#[from] ListFilesError),
}

impl Table {
    /// Puts a file into the bucket, where nobody sees it until [`Table::replace`] names it. One that
    /// is never named is deleted by [`Table::vacuum`](crate::Table::vacuum).
    ///
    /// # Errors
    ///
    /// [`AppendError::Write`].
    pub async fn stage(&self, file: NewFile) -> Result<StagedFile, AppendError> {
        put(self, &file, Attributes::new()).await?;
        Ok(StagedFile::of(file))
    }

    /// Deletes files that were staged for nothing, as far as that succeeds.
    pub async fn discard(&self, files: &[StagedFile]) {
        let paths = files.iter().map(|file| file.path.clone()).collect();
        Written(paths).delete(self).await;
    }

    /// Replaces files in one commit. Readers see all of the old files or all of the new ones.
    ///
    /// Two that replace the same files at once do it once; appends in between stay.
    ///
    /// # Errors
    ///
    /// See [`ReplaceError`].
    pub async fn replace(&self, replace: Replace) -> Result<Replaced, ReplaceError> {
        let change = Replacing {
            removes: replace
                .remove
                .iter()
                .map(|file| file.path.clone())
                .collect(),
            from: self.version(),
            replace: &replace,
        };
        let newest = self.refresh().await.map_err(CommitError::from)?;
        let outcome = match change.is_over(&newest).await {
            Ok(Some(newest)) => Ok(ControlFlow::Break(newest)),
            Ok(None) => commit(newest, &change).await,
            Err(error) => Err(error),
        };
        match outcome {
            Ok(ControlFlow::Continue(table)) => {
                table.checkpoint_when_due().await;
                Ok(Replaced::Committed(table))
            }
            Ok(ControlFlow::Break(newest)) => {
                self.discard(&replace.add).await;
                Ok(Replaced::Superseded(newest))
            }
            // They may be named by now.
            Err(error @ ReplaceError::Commit(CommitError::Unknown { .. })) => Err(error),
            Err(error) => {
                self.discard(&replace.add).await;
                Err(error)
            }
        }
    }
}

struct Replacing<'a> {
    replace: &'a Replace,
    removes: BTreeSet<String>,
    from: u64,
}

impl Change for Replacing<'_> {
    type Ended = Table;
    type Error = ReplaceError;

    async fn is_over(&self, newest: &Table) -> Result<Option<Table>, ReplaceError> {
        let over = if self.replace.only_now {
            newest.version() != self.from
        } else {
            let files = newest.files().await?;
            let there = files
                .iter()
                .filter(|file| self.removes.contains(&file.path));
            there.count() != self.removes.len()
        };
        Ok(over.then(|| newest.clone()))
    }

    async fn commit(&self, _newest: &Table) -> Result<Commit, ReplaceError> {
        let replace = self.replace;
        Ok(Commit {
            operation: match (replace.data_change, replace.add.is_empty()) {
                (false, _) => "OPTIMIZE",
                (true, true) => "DELETE",
                (true, false) => "WRITE",
            },
            adds: replace.add.iter().map(|file| file.add.clone()).collect(),
            removes: self.removes.clone(),
            data_change: replace.data_change,
            domains: replace.domains.clone(),
            ..Commit::default()
        })
    }
}
