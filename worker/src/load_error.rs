//! Why rows of the lake could not be brought to DuckDB.

use arrow::error::ArrowError;
use std::sync::Arc;
use streamsync_lake::{DownloadError, ReadFileError};

/// Why rows of the lake are not at hand.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// They could not be read from the bucket, or from a copy.
    #[error("could not read a file of the lake")]
    Read(#[from] ReadFileError),
    /// A file could not be copied to the local disk.
    #[error("could not copy a file of the lake to the local disk")]
    Download(#[from] DownloadError),
    /// The local disk failed.
    #[error("could not use {path} for a copy of a file of the lake")]
    Disk {
        /// The path.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// They could not be brought into DuckDB's types.
    #[error("could not convert rows of the lake for DuckDB")]
    Convert(#[from] ArrowError),
    /// Another query that waited for the same has the error itself.
    #[error(transparent)]
    Shared(Arc<LoadError>),
    /// Nobody waits for them any more.
    #[error("the reading was stopped")]
    Stopped,
}
