//! Why a worker could not start.

use crate::{DiskFolderError, GrantError, OpenEngineError};

/// Why a worker could not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenWorkerError {
    /// Its folder cannot be used.
    #[error(transparent)]
    Folder(#[from] DiskFolderError),
    /// Its operator's grant cannot be used.
    #[error(transparent)]
    Grant(#[from] GrantError),
    /// A thread could not be started.
    #[error("could not start a thread for scans")]
    Thread(#[source] std::io::Error),
    /// DuckDB does not start.
    #[error(transparent)]
    Engine(#[from] OpenEngineError),
}
