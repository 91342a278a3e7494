//! Why a worker could not start.

use crate::{DiskFolderError, OpenEngineError};

/// Why a worker could not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenWorkerError {
    /// Its folder cannot be used.
    #[error(transparent)]
    Folder(#[from] DiskFolderError),
    /// DuckDB does not start.
    #[error(transparent)]
    Engine(#[from] OpenEngineError),
}
