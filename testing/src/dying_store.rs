//! An object store under a process that dies.

use futures::{StreamExt, future::pending, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, path::Path,
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::Notify;

/// A store that does so many writes, and then nothing any more: the next one never ends, and is not
/// done. To the store it is as if the process had been killed there; the test drops whatever waits
/// for it. Puts and deletions are counted, one for each object.
#[derive(Debug)]
pub struct DyingStore {
    inner: Arc<dyn ObjectStore>,
    left: AtomicUsize,
    died: Notify,
}

impl DyingStore {
    /// A store over another that does so many writes.
    pub fn new(inner: Arc<dyn ObjectStore>, writes: usize) -> Self {
        Self {
            inner,
            left: AtomicUsize::new(writes),
            died: Notify::new(),
        }
    }

    /// How many more writes it does.
    pub fn left(&self) -> usize {
        self.left.load(Ordering::SeqCst)
    }

    /// Waits until there is a write that is not done.
    pub async fn died(&self) {
        self.died.notified().await;
    }

    fn takes(&self) -> bool {
        let one_less = |left: usize| left.checked_sub(1);
        self.left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, one_less)
            .is_ok()
    }

    async fn live(&self) {
        if !self.takes() {
            self.died.notify_one();
            pending().await
        }
    }
}

impl fmt::Display for DyingStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("dying")
    }
}

#[async_trait::async_trait]
impl ObjectStore for DyingStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        self.live().await;
        self.inner.put_opts(location, payload, opts).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.live().await;
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        // Each of them before the next is asked for, as far as the process lives.
        let paths = futures::executor::block_on(locations.collect::<Vec<_>>());
        let whole: Vec<_> = paths.into_iter().take_while(|_| self.takes()).collect();
        let dead = self.left() == 0;
        let done = self
            .inner
            .delete_stream(futures::stream::iter(whole).boxed());
        if !dead {
            return done;
        }
        self.died.notify_one();
        done.chain(futures::stream::pending()).boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.live().await;
        self.inner.copy_opts(from, to, options).await
    }
}
