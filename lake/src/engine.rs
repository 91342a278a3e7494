//! Where the Delta kernel and all requests to the bucket run.

use crate::OpenLakeError;
use delta_kernel::Error;
use delta_kernel_default_engine::{
    DefaultEngine, DefaultEngineBuilder, executor::tokio::TokioMultiThreadExecutor,
};
use object_store::ObjectStore;
use std::{
    future::pending,
    panic::resume_unwind,
    sync::{Arc, LazyLock},
};
use tokio::runtime::{Builder, Handle, Runtime};

/// One runtime for all lakes of the process. The kernel's calls block, and its checkpoints need
/// several threads, so they cannot run on whatever runtime the caller happens to have; and pooled
/// connections must outlive the runtime on which they were made.
static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(|| {
    Builder::new_multi_thread()
        .worker_threads(4)
        .thread_name("lake")
        .enable_all()
        .build()
});

/// The handle of the lake's own runtime.
pub(crate) fn runtime() -> Result<Handle, OpenLakeError> {
    match &*RUNTIME {
        Ok(runtime) => Ok(runtime.handle().clone()),
        Err(error) => Err(OpenLakeError::Runtime {
            kind: error.kind(),
            message: error.to_string(),
        }),
    }
}

/// The Delta kernel over one object store, and the threads it runs on.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    kernel: Arc<DefaultEngine<TokioMultiThreadExecutor>>,
    runtime: Handle,
}

impl Engine {
    pub(crate) fn new(store: Arc<dyn ObjectStore>, runtime: Handle) -> Self {
        let executor = Arc::new(TokioMultiThreadExecutor::new(runtime.clone()));
        let kernel = DefaultEngineBuilder::new(store)
            .with_task_executor(executor)
            .build();
        Self {
            kernel: Arc::new(kernel),
            runtime,
        }
    }

    /// Runs a call of the kernel, or other work that blocks, on a thread of its own.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn delta_kernel::Engine) -> T + Send + 'static,
    ) -> T {
        let kernel = Arc::clone(&self.kernel);
        let job = self.runtime.spawn_blocking(move || work(kernel.as_ref()));
        match job.await {
            Ok(output) => output,
            Err(stopped) => match stopped.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                // Never aborted by us: the process is shutting the runtime down.
                Err(_) => pending().await,
            },
        }
    }
}

/// The kernel's error without the backtrace that it carries where `RUST_BACKTRACE` is set, and
/// prints in the middle of its message.
pub(crate) fn plain(error: Error) -> Box<Error> {
    match error {
        Error::Backtraced { source, .. } => plain(*source),
        other => Box::new(other),
    }
}

/// Whether the error is of a request to the bucket, as opposed to one of what was asked.
pub(crate) fn is_request(error: &Error) -> bool {
    match error {
        Error::Backtraced { source, .. } => is_request(source),
        Error::ObjectStore(_) | Error::IOError(_) | Error::Reqwest(_) | Error::JoinFailure(_) => {
            true
        }
        _ => false,
    }
}
