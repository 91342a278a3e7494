//! Copies of what Redis holds, in the bucket.

use serde::{Deserialize, Serialize};

/// Backups of Redis, section `[backup]`. Routers make them, one at a time, encrypted with the master
/// secrets: API keys, deposits, the standing of workers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackupConfig {
    /// How often it is looked whether keys or credit were changed, and a backup made if so, in
    /// seconds; 0 makes none.
    pub look_s: u64,
    /// How old the newest backup may get without any such change, in seconds.
    pub every_s: u64,
    /// How many backups are kept, beside the last one of each day.
    pub keep: usize,
    /// For how many days the last one of each is kept.
    pub keep_days: u64,
}

impl Default for BackupConfig {
    fn default() -> Self {
        Self {
            look_s: 5,
            every_s: 3_600,
            keep: 72,
            keep_days: 30,
        }
    }
}

impl BackupConfig {
    pub(super) fn faults(&self, faults: &mut Vec<String>) {
        for (name, value) in [("every_s", self.every_s), ("keep", self.keep as u64)] {
            if value == 0 {
                faults.push(format!("backup.{name} is 0; it must be at least 1"));
            }
        }
    }
}
