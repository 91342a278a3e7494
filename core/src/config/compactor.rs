//! How the lake is kept in shape.

use super::{
    rollup::{RollupConfig, shipped},
    storage_class::StorageClass,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, net::SocketAddr, path::PathBuf, time::Duration};

/// The compactor, section `[compactor]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CompactorConfig {
    /// The size that files are merged to, in bytes.
    pub target_file_bytes: u64,
    /// How many small files of a partition are merged at once, at least.
    pub fan_in: usize,
    /// How many bytes of files one merge takes, at most; the scratch folder needs room for them, and
    /// for as much again when they do not fit in memory sorted.
    pub merge_bytes: u64,
    /// The memory for sorting, in bytes. Beyond it a merge holds one file of the target size.
    pub memory_bytes: u64,
    /// The threads for sorting; 0 is one for each core.
    pub threads: usize,
    /// The folder for copies of files and for what sorting spills; without one, the system's folder
    /// for temporary files.
    pub scratch_folder: Option<PathBuf>,
    /// How long `compactor run` waits after it found nothing more to do, in seconds.
    pub every_s: u64,
    /// How long a compactor keeps others from a partition when it is killed, in seconds.
    pub lease_s: u64,
    /// For how long a snapshot can be read after it was the newest, in seconds. Files that only
    /// older ones name are deleted, and so are those of that age that no version names: a writer
    /// has six hours from its first file to its commit, so less than that is for tests.
    pub promise_s: u64,
    /// How many commits there may be after the last checkpoint of a table's log.
    pub checkpoint_commits: u64,
    /// How often files and log entries that nobody needs are looked for, in seconds.
    pub vacuum_every_s: u64,
    /// How often the table `accounts` is brought up to date, in seconds. Each time writes all of it.
    pub accounts_every_s: u64,
    /// How long after its end a day's partition gets no more rows, as a rule, and is merged for good,
    /// in seconds.
    pub settled_after_s: u64,
    /// Where metrics are served; nowhere by default.
    pub metrics_listen: Option<SocketAddr>,
    /// For how many days rows are kept, by table; for ever where a table is not named.
    pub keep_days: BTreeMap<String, u32>,
    /// After how many days files are moved to the table's folder `archive/`, by table.
    pub archive_days: BTreeMap<String, u32>,
    /// The storage class of archived files; that of all others by default.
    pub archive_class: Option<StorageClass>,
    /// What is rolled up. Those that are named replace the ones that are shipped.
    pub rollups: Vec<RollupConfig>,
}

impl Default for CompactorConfig {
    fn default() -> Self {
        Self {
            target_file_bytes: 128 << 20,
            fan_in: 16,
            merge_bytes: 2 << 30,
            memory_bytes: 1 << 30,
            threads: 0,
            scratch_folder: None,
            every_s: 30,
            lease_s: 60,
            promise_s: 86_400,
            checkpoint_commits: 100,
            vacuum_every_s: 3_600,
            accounts_every_s: 3_600,
            settled_after_s: 3_600,
            metrics_listen: None,
            keep_days: BTreeMap::new(),
            archive_days: BTreeMap::new(),
            archive_class: None,
            rollups: shipped(),
        }
    }
}

impl CompactorConfig {
    /// For how long a snapshot can be read after it was the newest.
    pub fn promise(&self) -> Duration {
        Duration::from_secs(self.promise_s)
    }

    pub(super) fn faults(&self, longest_query: Duration, faults: &mut Vec<String>) {
        if self.target_file_bytes < 64 << 10 {
            faults.push("compactor.target_file_bytes is under 64 KiB (65536)".to_owned());
        }
        if self.fan_in < 2 {
            faults.push(format!(
                "compactor.fan_in is {}; it must be at least 2",
                self.fan_in
            ));
        }
        if self.merge_bytes < self.target_file_bytes {
            faults.push("compactor.merge_bytes is under compactor.target_file_bytes".to_owned());
        }
        if self.memory_bytes < 64 << 20 {
            faults.push("compactor.memory_bytes is under 64 MiB (67108864)".to_owned());
        }
        if self.checkpoint_commits == 0 {
            faults.push("compactor.checkpoint_commits is 0; it must be at least 1".to_owned());
        }
        for (name, value) in [
            ("every_s", self.every_s),
            ("lease_s", self.lease_s),
            ("vacuum_every_s", self.vacuum_every_s),
            ("accounts_every_s", self.accounts_every_s),
        ] {
            if value == 0 {
                faults.push(format!("compactor.{name} is 0; it must be at least 1"));
            }
        }
        if self.promise() <= longest_query {
            faults.push(format!(
                "compactor.promise_s is {}; it must be longer than the longest query, which may \
                 take {} s (router.max_deadline_ms)",
                self.promise_s,
                longest_query.as_secs_f64()
            ));
        }
        for (index, rollup) in self.rollups.iter().enumerate() {
            rollup.faults(faults);
            let others = &self.rollups[..index];
            if others.iter().any(|other| other.name == rollup.name) {
                faults.push(format!("there are two compactor.rollups `{}`", rollup.name));
            }
        }
        for (table, days) in &self.keep_days {
            if *days == 0 {
                faults.push(format!(
                    "compactor.keep_days of `{table}` is 0; leave the table out to keep its rows for \
                     ever"
                ));
            }
        }
        for (table, days) in &self.archive_days {
            if *days == 0 {
                faults.push(format!(
                    "compactor.archive_days of `{table}` is 0; it must be at least 1"
                ));
            }
            if self.keep_days.get(table).is_some_and(|kept| kept <= days) {
                faults.push(format!(
                    "compactor.archive_days of `{table}` is {days}, when its rows are deleted already \
                     (compactor.keep_days)"
                ));
            }
        }
        if self.archive_class.is_some() && self.archive_days.is_empty() {
            faults.push(
                "compactor.archive_class is set, and no table has compactor.archive_days"
                    .to_owned(),
            );
        }
    }
}
