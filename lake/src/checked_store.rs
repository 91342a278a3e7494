//! An object store whose answers are as long as they should be.
//!
//! A server, or something before it, may leave out the end of a body and give it a length that fits. Parquet
//! of the wrong length is found out by who reads it; a Delta log is not: its lines just end earlier, and
//! files, transactions and slots of a version are missing. And a range that comes short must not be
//! sliced as if it were whole.

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use moka::sync::Cache;
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload,
    OBJECT_STORE_COALESCE_DEFAULT, ObjectMeta, ObjectStore, ObjectStoreExt, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, RenameOptions, Result, coalesce_ranges, path::Path,
};
use std::{fmt, ops::Range, sync::Arc};

/// Of how many listed objects the size is remembered.
const REMEMBERED: u64 = 100_000;

/// What a list said of an object.
#[derive(Clone, Debug)]
struct Listed {
    size: u64,
    e_tag: Option<String>,
}

/// Passes everything on, and makes answers that are too short, or too long, errors.
#[derive(Debug)]
pub(crate) struct CheckedStore {
    inner: Arc<dyn ObjectStore>,
    listed: Cache<Path, Listed>,
}

/// An answer of the wrong length.
#[derive(Debug, thiserror::Error)]
#[error("the answer has {found} bytes where there should be {expected}; it was cut off on its way")]
struct WrongLength {
    expected: u64,
    found: u64,
}

fn wrong_length(expected: u64, found: u64) -> Error {
    Error::Generic {
        store: "bucket",
        source: Box::new(WrongLength { expected, found }),
    }
}

impl CheckedStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self {
            inner,
            listed: Cache::new(REMEMBERED),
        }
    }

    /// Notes the size of what a list names. Only logs have to be known: the size of a data file is in its
    /// table's log.
    fn note(listed: &Cache<Path, Listed>, object: &ObjectMeta) {
        let in_log = object
            .location
            .parts()
            .any(|part| part.as_ref() == "_delta_log");
        if in_log {
            let known = Listed {
                size: object.size,
                e_tag: object.e_tag.clone(),
            };
            listed.insert(object.location.clone(), known);
        }
    }

    /// Whether an answer is of the object that was listed and yet of another size.
    fn check(&self, location: &Path, answered: &ObjectMeta) -> Result<()> {
        match self.listed.get(location) {
            Some(listed)
                if listed.e_tag.is_some()
                    && listed.e_tag == answered.e_tag
                    && listed.size != answered.size =>
            {
                Err(wrong_length(listed.size, answered.size))
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for CheckedStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(formatter)
    }
}

/// Counts the bytes of a body as they are taken, and ends with an error where they are not as many as
/// there should be.
fn counted(
    body: BoxStream<'static, Result<Bytes>>,
    expected: u64,
) -> BoxStream<'static, Result<Bytes>> {
    let pieces = body.map(Some).chain(futures::stream::once(async { None }));
    let counted = pieces.scan(0, move |found, piece| {
        let piece = match piece {
            Some(Ok(bytes)) => {
                *found += bytes.len() as u64;
                match *found > expected {
                    true => Some(Err(wrong_length(expected, *found))),
                    false => Some(Ok(bytes)),
                }
            }
            Some(Err(error)) => Some(Err(error)),
            None if *found < expected => Some(Err(wrong_length(expected, *found))),
            None => None,
        };
        futures::future::ready(piece)
    });
    counted.boxed()
}

#[async_trait::async_trait]
impl ObjectStore for CheckedStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let head = options.head;
        let mut result = self.inner.get_opts(location, options).await?;
        self.check(location, &result.meta)?;
        if !head && let GetResultPayload::Stream(body) = result.payload {
            let expected = result.range.end - result.range.start;
            result.payload = GetResultPayload::Stream(counted(body, expected));
        }
        Ok(result)
    }

    async fn get_ranges(&self, location: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        // Fetched by way of the above: the store's own would slice what comes before it is looked at.
        let fetch = |range| self.get_range(location, range);
        coalesce_ranges(ranges, fetch, OBJECT_STORE_COALESCE_DEFAULT).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.listed.clone();
        let objects = self.inner.list(prefix);
        objects
            .inspect_ok(move |object| Self::note(&listed, object))
            .boxed()
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let listed = self.listed.clone();
        let objects = self.inner.list_with_offset(prefix, offset);
        objects
            .inspect_ok(move |object| Self::note(&listed, object))
            .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let found = self.inner.list_with_delimiter(prefix).await?;
        for object in &found.objects {
            Self::note(&self.listed, object);
        }
        Ok(found)
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}
