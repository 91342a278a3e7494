//! What a compactor did, and what it would do.

use crate::plan::Merge;
use std::{fmt, ops::AddAssign};
use streamsync_core::TableName;
use streamsync_lake::{DataFile, Unneeded};

/// What was done.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Report {
    /// Merges that were committed.
    pub merges: u64,
    /// The files that they took.
    pub files_in: u64,
    /// The files that they made.
    pub files_out: u64,
    /// The bytes that they took.
    pub bytes_in: u64,
    /// The bytes that they made.
    pub bytes_out: u64,
    /// Rows that were there twice, and are no more.
    pub duplicates: u64,
    /// Merges that another compactor had done already.
    pub superseded: u64,
    /// Files whose rows were too old to be kept.
    pub expired_files: u64,
    /// Files that were moved to the archive.
    pub archived: u64,
    /// Their size.
    pub archived_bytes: u64,
    /// Tables of rollups that were brought up to date.
    pub rollups: u64,
    /// The times whose rows were computed anew in them.
    pub times: u64,
    /// Times that have new rows, but not all of their old ones any more; they stay as they were.
    pub too_late: u64,
    /// The accounts that are known, if something new came of them.
    pub accounts: u64,
    /// Checkpoints that were written.
    pub checkpoints: u64,
    /// Objects that nobody needed any more.
    pub deleted: u64,
    /// Their size.
    pub deleted_bytes: u64,
    /// What failed: the job, and why with all causes.
    pub failures: Vec<String>,
}

impl Report {
    /// Whether something was changed that may be the reason for more work.
    pub(crate) fn did_something(&self) -> bool {
        self.merges + self.expired_files > 0
    }
}

impl AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        self.merges += other.merges;
        self.files_in += other.files_in;
        self.files_out += other.files_out;
        self.bytes_in += other.bytes_in;
        self.bytes_out += other.bytes_out;
        self.duplicates += other.duplicates;
        self.superseded += other.superseded;
        self.expired_files += other.expired_files;
        self.archived += other.archived;
        self.archived_bytes += other.archived_bytes;
        self.rollups += other.rollups;
        self.times += other.times;
        self.too_late += other.too_late;
        self.accounts += other.accounts;
        self.checkpoints += other.checkpoints;
        self.deleted += other.deleted;
        self.deleted_bytes += other.deleted_bytes;
        self.failures.extend(other.failures);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} merges: {} files of {} bytes became {} of {}",
            self.merges, self.files_in, self.bytes_in, self.files_out, self.bytes_out
        )?;
        let more = [
            (self.duplicates, "rows that were there twice left out"),
            (self.superseded, "merges that others had done"),
            (self.expired_files, "files too old to be kept"),
            (self.archived, "files archived"),
            (self.rollups, "tables of rollups brought up to date"),
            (self.times, "times computed anew"),
            (self.too_late, "times whose rows came too late"),
            (self.accounts, "accounts brought up to date"),
            (self.checkpoints, "checkpoints"),
        ];
        for (count, what) in more.into_iter().filter(|(count, _)| *count > 0) {
            write!(formatter, "; {count} {what}")?;
        }
        write!(
            formatter,
            "; {} objects of {} bytes deleted",
            self.deleted, self.deleted_bytes
        )
    }
}

/// What is to be done to a table.
#[derive(Clone, Debug)]
pub struct TablePlan {
    /// The table.
    pub table: TableName,
    /// Files whose rows are too old to be kept.
    pub expired: Vec<DataFile>,
    /// The merges that come next; more may come of them.
    pub merges: Vec<Merge>,
    /// Files that are to be archived now.
    pub archive: Vec<DataFile>,
    /// Data files that nobody needs.
    pub files: Unneeded,
    /// Entries of the log that nobody needs.
    pub log: Unneeded,
}

/// How a table is.
#[derive(Clone, Debug)]
pub struct TableStatus {
    /// The table.
    pub table: TableName,
    /// Its newest version.
    pub version: u64,
    /// The partitions that have rows.
    pub partitions: usize,
    /// The number of files.
    pub files: usize,
    /// Those that are under half of the target size.
    pub small_files: usize,
    /// The size of all files, in bytes.
    pub bytes: u64,
    /// The size of the files in the archive, in bytes.
    pub archived_bytes: u64,
    /// The bytes of files that are to be merged now.
    pub waiting_bytes: u64,
    /// How often a byte of the table was rewritten, on average.
    pub rewrites: f64,
}
