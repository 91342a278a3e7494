//! Who runs the worker, as its operator has signed.

use std::{
    io,
    path::{Path, PathBuf},
};
use streamsync_core::{OperatorGrant, WorkerId};

/// Why an operator's grant cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum GrantError {
    /// It cannot be read.
    #[error("could not read the operator's grant {file}", file = .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not a grant.
    #[error("{file} is not an operator's grant; `streamsync grant` writes them", file = .file.display())]
    Malformed {
        /// The file.
        file: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// It is for another worker.
    #[error(
        "{file} is not a grant for worker {worker}: make one with `streamsync grant --worker {worker}`",
        file = .file.display()
    )]
    OtherWorker {
        /// The file.
        file: PathBuf,
        /// Who needs one.
        worker: WorkerId,
    },
}

/// Reads a grant, and sees that it is the worker's.
pub(crate) fn read(file: &Path, worker: WorkerId) -> Result<OperatorGrant, GrantError> {
    let json = std::fs::read(file).map_err(|source| GrantError::Read {
        file: file.to_owned(),
        source,
    })?;
    let grant: OperatorGrant =
        serde_json::from_slice(&json).map_err(|source| GrantError::Malformed {
            file: file.to_owned(),
            source,
        })?;
    if grant.is_genuine(worker) {
        Ok(grant)
    } else {
        Err(GrantError::OtherWorker {
            file: file.to_owned(),
            worker,
        })
    }
}
