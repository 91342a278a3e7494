//! Copying a file out of the bucket onto the local disk.

use crate::{DataFile, ReadFileError, Table, file_reader::object_path};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{GetOptions, GetRange, ObjectStore, path::Path};
use std::{fs::File, os::unix::fs::FileExt, sync::Arc};

/// The bytes of one request, and of one checksum.
pub const BLOCK_BYTES: u64 = 8 << 20;
/// How many requests for one file are under way at once.
const PARALLEL_REQUESTS: usize = 4;

/// Why a file could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The bucket did not give it, or gave something else than the log says.
    #[error(transparent)]
    Fetch(#[from] ReadFileError),
    /// The local disk did not take it.
    #[error("could not write file {path} to the local disk")]
    Write {
        /// The file.
        path: String,
        /// The cause.
        source: std::io::Error,
    },
}

/// CRC-32 of each block of [`BLOCK_BYTES`], the last of which may be shorter.
pub type BlockChecksums = Vec<u32>;

impl Table {
    /// Copies a file to a new local file, with several ranged requests in parallel. All of them ask
    /// for the same ETag, so the copy is of one object even if somebody overwrites it meanwhile.
    ///
    /// # Errors
    ///
    /// A file that is missing or has not the size that the log says; a local disk that is full.
    /// What has been written stays behind.
    pub async fn download(
        &self,
        file: &DataFile,
        to: File,
    ) -> Result<BlockChecksums, DownloadError> {
        let path = object_path(self, file)?;
        let download = Download {
            store: Arc::clone(self.lake().store()),
            path,
            file: file.clone(),
            to: Arc::new(to),
        };
        let (first, etag) = download.first().await?;
        let checksum = download.write(0, first).await?;
        let later = (1..file.size.div_ceil(BLOCK_BYTES)).map(|block| {
            let (download, etag) = (download.clone(), etag.clone());
            async move {
                let bytes = download.block(block, etag).await?;
                download.write(block, bytes).await
            }
        });
        let mut checksums = vec![checksum];
        let later: Vec<u32> = stream::iter(later)
            .buffered(PARALLEL_REQUESTS)
            .try_collect()
            .await?;
        checksums.extend(later);
        Ok(checksums)
    }
}

#[derive(Clone)]
struct Download {
    store: Arc<dyn ObjectStore>,
    path: Path,
    file: DataFile,
    to: Arc<File>,
}

impl Download {
    async fn first(&self) -> Result<(Bytes, Option<String>), DownloadError> {
        let options = GetOptions {
            range: Some(self.range(0)),
            ..GetOptions::default()
        };
        let fetched = async {
            let object = self.store.get_opts(&self.path, options).await?;
            let (size, etag) = (object.meta.size, object.meta.e_tag.clone());
            if size != self.file.size {
                return Ok(Err(size));
            }
            Ok(Ok((object.bytes().await?, etag)))
        };
        match fetched.await.map_err(|source| self.fetch(source))? {
            Ok(first) => Ok(first),
            Err(found) => Err(self.size(found)),
        }
    }

    async fn block(&self, block: u64, etag: Option<String>) -> Result<Bytes, DownloadError> {
        let options = GetOptions {
            range: Some(self.range(block)),
            if_match: etag,
            ..GetOptions::default()
        };
        let fetched = async {
            self.store
                .get_opts(&self.path, options)
                .await?
                .bytes()
                .await
        };
        fetched.await.map_err(|source| self.fetch(source))
    }

    fn range(&self, block: u64) -> GetRange {
        let start = block * BLOCK_BYTES;
        GetRange::Bounded(start..(start + BLOCK_BYTES).min(self.file.size))
    }

    async fn write(&self, block: u64, bytes: Bytes) -> Result<u32, DownloadError> {
        let start = block * BLOCK_BYTES;
        let expected = BLOCK_BYTES.min(self.file.size - start);
        if bytes.len() as u64 != expected {
            return Err(self.size(start + bytes.len() as u64));
        }
        let to = Arc::clone(&self.to);
        let written = tokio::task::spawn_blocking(move || {
            to.write_all_at(&bytes, start)?;
            Ok(crc32fast::hash(&bytes))
        });
        let written = match written.await {
            Ok(written) => written,
            Err(stopped) => Err(std::io::Error::other(stopped)),
        };
        written.map_err(|source| DownloadError::Write {
            path: self.file.path.clone(),
            source,
        })
    }

    fn fetch(&self, source: object_store::Error) -> DownloadError {
        DownloadError::Fetch(ReadFileError::Fetch {
            path: self.file.path.clone(),
            source,
        })
    }

    fn size(&self, found: u64) -> DownloadError {
        DownloadError::Fetch(ReadFileError::Size {
            path: self.file.path.clone(),
            expected: self.file.size,
            found,
        })
    }
}
