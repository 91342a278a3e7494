//! An object store whose requests are spans of the trace that they belong to.

use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, path::Path,
};
use std::{fmt, ops::Range, sync::Arc};
use tracing::Instrument;

/// Passes everything on. Lists and deletions come in pieces, whenever they are taken, and are no spans.
#[derive(Debug)]
pub(crate) struct TracedStore(Arc<dyn ObjectStore>);

impl TracedStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self(inner)
    }
}

impl fmt::Display for TracedStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

#[async_trait::async_trait]
impl ObjectStore for TracedStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let bytes = payload.content_length();
        let span = tracing::debug_span!("bucket put", path = %location, bytes);
        let put = self.0.put_opts(location, payload, opts);
        put.instrument(span).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        let span = tracing::debug_span!("bucket put in parts", path = %location);
        let begun = self.0.put_multipart_opts(location, opts);
        begun.instrument(span).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let span = tracing::debug_span!("bucket get", path = %location);
        self.0.get_opts(location, options).instrument(span).await
    }

    async fn get_ranges(
        &self,
        location: &Path,
        ranges: &[Range<u64>],
    ) -> Result<Vec<bytes::Bytes>> {
        let span = tracing::debug_span!("bucket get", path = %location, ranges = ranges.len());
        self.0.get_ranges(location, ranges).instrument(span).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let span =
            tracing::debug_span!("bucket list", prefix = prefix.map(tracing::field::display));
        let list = self.0.list_with_delimiter(prefix);
        list.instrument(span).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.0.rename_opts(from, to, options).await
    }
}
