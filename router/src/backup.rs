//! Copies of what Redis holds, in the bucket, and how they are put back.

mod acts;
mod keep;
mod settled;
mod store;

pub use acts::{ActsError, acts_since};
pub use keep::back_up_until;
pub use settled::SettledError;
pub use store::{BackupError, Backups, StoredBackup};

use settled::{Settled, settled_since};
use std::{collections::BTreeMap, error::Error};
use streamsync_core::WorkerId;
use streamsync_lake::Lake;
use streamsync_registry::{Registry, RegistryBackup, RestoreError};

/// What was put back.
#[derive(Debug)]
pub struct Restored {
    /// The copy.
    pub backup: RegistryBackup,
    /// How many receipts were settled after it was made, and are charged for now.
    pub receipts: usize,
    /// Up to which number the receipts of each router are settled.
    pub settled: BTreeMap<WorkerId, u64>,
}

/// Why nothing was put back.
#[derive(Debug, thiserror::Error)]
pub enum PutBackError {
    /// What was settled since could not be found out.
    #[error("could not find out what was settled after the backup was made")]
    Settled(#[from] SettledError),
    /// Redis did not take it.
    #[error(transparent)]
    Restore(#[from] Box<RestoreError>),
}

/// Puts a copy into an empty Redis, with what was settled after it was made. What was charged since and is
/// not settled, routers tell of again when they run, as they keep it until it is settled.
pub async fn put_back(
    lake: &Lake,
    registry: &Registry,
    backup: RegistryBackup,
) -> Result<Restored, PutBackError> {
    let Settled { routers, receipts } = settled_since(lake, &backup).await?;
    registry
        .restore_backup(&backup, &routers, &receipts)
        .await
        .map_err(Box::new)?;
    Ok(Restored {
        receipts: receipts.len(),
        settled: routers,
        backup,
    })
}

fn described(error: &(dyn Error + 'static)) -> String {
    streamsync_core::with_causes(error)
}
