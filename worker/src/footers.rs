//! Footers and page indexes of files, kept in memory so that planning makes no request.

use crate::{LoadError, disk::LocalFile, file_key::FileKey};
use moka::future::Cache;
use std::sync::Arc;
use streamsync_lake::{DataFile, OpenFile, Table};

/// The footers of files. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Footers(Cache<FileKey, OpenFile>);

impl Footers {
    /// No footers yet, at most this many bytes of them.
    pub(crate) fn new(budget: u64) -> Self {
        let footers = Cache::builder()
            .max_capacity(budget)
            .weigher(|_, file: &OpenFile| u32::try_from(file.memory_size()).unwrap_or(u32::MAX))
            .build();
        Self(footers)
    }

    /// A file that is read from its copy, if there is one, or else from the bucket.
    pub(crate) async fn open(
        &self,
        table: &Table,
        key: &FileKey,
        file: &DataFile,
        copy: Option<&LocalFile>,
    ) -> Result<OpenFile, Arc<LoadError>> {
        let open = async {
            let opened = match copy {
                Some(copy) => table.open_copy(file, &copy.path).await,
                None => table.open_file(file).await,
            };
            opened.map_err(LoadError::from)
        };
        let open = self.0.try_get_with_by_ref(key, open).await?;
        match copy {
            Some(copy) => open
                .copied_to(&copy.path)
                .map_err(|error| Arc::new(error.into())),
            None => Ok(open),
        }
    }
}
