//! What a worker has at hand: the body of `GET /v1/cache`.

use crate::tiers::Tiers;
use serde::Serialize;

/// What a worker has at hand, tier by tier.
#[derive(Clone, Debug, Serialize)]
pub struct CacheReport {
    /// Decoded rows in memory.
    pub memory: MemoryReport,
    /// Copies of files on the local disk.
    pub disk: DiskReport,
}

/// Decoded rows in memory.
#[derive(Clone, Debug, Serialize)]
pub struct MemoryReport {
    /// The bytes that there may be.
    pub budget_bytes: u64,
    /// The bytes that there are.
    pub used_bytes: u64,
    /// How many pages of files that is.
    pub pages: u64,
}

/// Copies of files on the local disk.
#[derive(Clone, Debug, Serialize)]
pub struct DiskReport {
    /// The bytes that there may be.
    pub budget_bytes: u64,
    /// The bytes that there are, copies that are being made included.
    pub used_bytes: u64,
    /// The files, by their table and their path in the lake.
    pub files: Vec<FileReport>,
}

/// A copy of a file.
#[derive(Clone, Debug, Serialize)]
pub struct FileReport {
    /// The table and the path in the lake.
    pub file: String,
    /// Its size.
    pub bytes: u64,
}

impl CacheReport {
    pub(crate) async fn of(tiers: &Tiers) -> Self {
        tiers.settle().await;
        let mut files = tiers.disk.held();
        files.sort();
        Self {
            memory: MemoryReport {
                budget_bytes: tiers.memory.budget(),
                used_bytes: tiers.memory.used(),
                pages: tiers.memory.held(),
            },
            disk: DiskReport {
                budget_bytes: tiers.disk.budget(),
                used_bytes: tiers.disk.used(),
                files: files
                    .into_iter()
                    .map(|(file, bytes)| FileReport {
                        file: file.to_string(),
                        bytes,
                    })
                    .collect(),
            },
        }
    }
}
