//! An object store that does not always do as it is told.

use futures::{StreamExt, future::pending, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory,
    path::Path,
};
use std::{
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::Notify;

/// What goes wrong when a commit is written.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// It never ends, and writes nothing.
    Hangs,
    /// It is written only when it may go on.
    Waits,
    /// It fails, and writes nothing.
    Fails,
    /// It is written, but the answer is lost.
    AnswerIsLost,
    /// It is written, and so it is there when the request is sent again.
    IsSentTwice,
    /// It is written, the answer is lost, and after that nothing can be read.
    AnswerIsLostAndAllElse,
    /// Nothing can be read.
    NothingIsRead,
    /// No commit: data files cannot be written.
    DataFails,
}

/// A store in memory with a fault to switch on, and a count of requests.
#[derive(Debug, Default)]
pub struct FaultyStore {
    pub inner: InMemory,
    fault: Mutex<Fault>,
    requests: AtomicUsize,
    /// Told when a commit hangs or waits.
    pub hanging: Notify,
    /// Lets a commit that waits go on.
    pub go_on: Notify,
}

impl FaultyStore {
    pub fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap() = fault;
    }

    /// The number of requests since the last call.
    pub fn requests(&self) -> usize {
        self.requests.swap(0, Ordering::SeqCst)
    }

    /// The paths of everything that is a data file.
    pub async fn data_files(self: &Arc<Self>) -> Vec<String> {
        let all = self.inner.list(None).map(|found| found.unwrap().location);
        all.map(|path| path.to_string())
            .filter(|path| std::future::ready(path.ends_with(".zstd.parquet")))
            .collect()
            .await
    }

    fn fault(&self) -> Fault {
        self.requests.fetch_add(1, Ordering::SeqCst);
        *self.fault.lock().unwrap()
    }

    fn read(&self) -> Result<()> {
        match self.fault() {
            Fault::NothingIsRead => Err(failure("the network is gone")),
            _ => Ok(()),
        }
    }
}

fn failure(what: &'static str) -> Error {
    Error::Generic {
        store: "faulty",
        source: what.into(),
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("faulty")
    }
}

#[async_trait::async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> Result<PutResult> {
        let fault = self.fault();
        let is_commit = location.as_ref().contains("_delta_log/0");
        match fault {
            Fault::DataFails if !is_commit => return Err(failure("the disk is full")),
            Fault::Hangs if is_commit => {
                self.hanging.notify_one();
                return pending().await;
            }
            Fault::Waits if is_commit => {
                self.hanging.notify_one();
                self.go_on.notified().await;
            }
            Fault::Fails if is_commit => return Err(failure("the request failed")),
            _ => {}
        }
        let done = self.inner.put_opts(location, payload, opts).await?;
        match fault {
            Fault::AnswerIsLost if is_commit => Err(failure("the answer is lost")),
            Fault::AnswerIsLostAndAllElse if is_commit => {
                self.set(Fault::NothingIsRead);
                Err(failure("the answer is lost"))
            }
            Fault::IsSentTwice if is_commit => Err(Error::AlreadyExists {
                path: location.to_string(),
                source: "sent again".into(),
            }),
            _ => Ok(done),
        }
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.fault();
        self.inner.put_multipart_opts(location, opts).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.read()?;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.fault();
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        match self.read() {
            Ok(()) => self.inner.list(prefix),
            Err(error) => futures::stream::iter([Err(error)]).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.read()?;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.fault();
        self.inner.copy_opts(from, to, options).await
    }
}
