//! The key pair of a worker or an operator.

use rand::Rng;
use std::path::Path;
use streamsync_core::{Identity, KeyFileError};

/// The key pair in a file, made when absent; a new one without a file.
pub fn identity(file: Option<&Path>) -> Result<Identity, KeyFileError> {
    #[allow(clippy::disallowed_methods)]
    let new = || Identity::from_seed(rand::rng().random());
    match file {
        None => Ok(new()),
        Some(path) if path.exists() => Identity::read(path),
        Some(path) => {
            let identity = new();
            identity.write_new(path)?;
            tracing::info!(worker = %identity.id(), file = %path.display(), "made a new key pair");
            Ok(identity)
        }
    }
}
