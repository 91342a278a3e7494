//! Telling whether a lake can be used, and if not, why.

use crate::{Lake, lake::object_path};
use object_store::{ObjectStoreExt, client::HttpError};
use std::error::Error;

/// Where instances of AWS get their role's keys from: asked when no keys are configured.
const INSTANCE_METADATA: &str = "169.254.169.254";

/// Why a lake cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckLakeError {
    /// Nothing answers at the endpoint.
    #[error("could not reach the bucket {url}: check the endpoint and the network")]
    Unreachable {
        /// The lake.
        url: String,
        /// The cause.
        #[source]
        source: object_store::Error,
    },
    /// There are no keys to ask with.
    #[error(
        "found no keys for the bucket {url}: configure access_key_id and secret_access_key, or \
         set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )]
    NoCredentials {
        /// The lake.
        url: String,
        /// The cause.
        #[source]
        source: object_store::Error,
    },
    /// The keys are wrong, or have no right to the bucket.
    #[error("the bucket {url} refused the keys: check them, and what they are allowed to do")]
    Refused {
        /// The lake.
        url: String,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// There is no such bucket or folder.
    #[error("there is no bucket or folder {url}: create it, or check its name")]
    NoSuchBucket {
        /// The lake.
        url: String,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Something else.
    #[error("could not read the bucket {url}")]
    Other {
        /// The lake.
        url: String,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
}

pub(crate) async fn check(lake: &Lake) -> Result<(), CheckLakeError> {
    let url = lake.url().to_string();
    if let Ok(folder) = lake.url().to_file_path() {
        let read = lake
            .engine()
            .run(move |_| std::fs::read_dir(folder).map(drop))
            .await;
        return read.map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory => {
                CheckLakeError::NoSuchBucket {
                    url,
                    source: source.into(),
                }
            }
            std::io::ErrorKind::PermissionDenied => CheckLakeError::Refused {
                url,
                source: source.into(),
            },
            _ => CheckLakeError::Other {
                url,
                source: source.into(),
            },
        });
    }
    // An object that nobody writes. S3 says of it that there is no such key, or no such bucket, or
    // to one who may not list the bucket nothing but "forbidden".
    let read = match object_path(lake.url()) {
        Ok(root) => lake
            .store()
            .get(&root.join("_streamsync_check"))
            .await
            .map(drop),
        Err(error) => Err(error),
    };
    match read {
        Ok(()) => Ok(()),
        Err(object_store::Error::NotFound { source, .. }) => {
            if source.to_string().contains("NoSuchBucket") {
                Err(CheckLakeError::NoSuchBucket { url, source })
            } else {
                Ok(())
            }
        }
        Err(
            object_store::Error::PermissionDenied { source, .. }
            | object_store::Error::Unauthenticated { source, .. },
        ) => Err(CheckLakeError::Refused { url, source }),
        Err(source) if source.to_string().contains(INSTANCE_METADATA) => {
            Err(CheckLakeError::NoCredentials { url, source })
        }
        Err(source) if is_network(&source) => Err(CheckLakeError::Unreachable { url, source }),
        Err(source) => Err(CheckLakeError::Other {
            url,
            source: source.into(),
        }),
    }
}

/// Whether no answer came, for whatever reason.
fn is_network(error: &object_store::Error) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if error.is::<HttpError>() {
            return true;
        }
        cause = error.source();
    }
    false
}
