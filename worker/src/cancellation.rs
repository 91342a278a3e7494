//! Stopping DuckDB in the middle of a query.

use crate::resident_memory;
use duckdb::InterruptHandle;
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// How long DuckDB has to notice an interrupt before it gets another. One can be lost: DuckDB
/// forgets those that come in the moment before a query begins.
const INSIST_EVERY: Duration = Duration::from_millis(10);
/// How often the memory of the process is looked at while a scan runs.
const WEIGH_EVERY: Duration = Duration::from_millis(20);

/// The query that may be interrupted, while it runs. The lock makes sure that an interrupt never
/// hits the next query of the same connection.
#[derive(Clone, Default)]
pub(crate) struct Interruptible(Arc<Inner>);

#[derive(Default)]
struct Inner {
    running: Mutex<Option<Arc<InterruptHandle>>>,
    /// Ends when DuckDB has really stopped.
    ended: CancellationToken,
    over_memory: AtomicBool,
}

/// Ends the possibility to interrupt when dropped.
pub(crate) struct Running<'a>(&'a Interruptible);

/// Says when it is dropped that DuckDB has really stopped.
pub(crate) struct Ended(Interruptible);

/// Interrupts the query when dropped, unless that has ended.
pub(crate) struct InterruptOnDrop {
    query: Interruptible,
    cancelled: CancellationToken,
}

impl Interruptible {
    /// From now on interrupts reach this connection.
    pub(crate) fn begin(&self, handle: Arc<InterruptHandle>) -> Running<'_> {
        self.set(Some(handle));
        Running(self)
    }

    /// To be held by who runs the query.
    pub(crate) fn ended(&self) -> Ended {
        Ended(self.clone())
    }

    /// To be held by who waits for the query. `cancelled` is cancelled in any case.
    pub(crate) fn interrupt_on_drop(&self, cancelled: CancellationToken) -> InterruptOnDrop {
        InterruptOnDrop {
            query: self.clone(),
            cancelled,
        }
    }

    /// Whether the query was interrupted because the process took too much memory.
    pub(crate) fn was_over_memory(&self) -> bool {
        self.0.over_memory.load(Ordering::SeqCst)
    }

    /// Interrupts the query when the process takes more than so many bytes, until the query has
    /// ended. DuckDB counts most of what it takes itself, but not what functions make.
    pub(crate) async fn watch_memory(self, most: u64) {
        let mut turns = tokio::time::interval(WEIGH_EVERY);
        loop {
            tokio::select! {
                () = self.0.ended.cancelled() => return,
                _ = turns.tick() => {}
            }
            if resident_memory::bytes().is_some_and(|bytes| bytes > most) {
                self.0.over_memory.store(true, Ordering::SeqCst);
                return self.insist().await;
            }
        }
    }

    async fn insist(self) {
        let mut turns = tokio::time::interval(INSIST_EVERY);
        while !self.0.ended.is_cancelled() {
            turns.tick().await;
            self.interrupt();
        }
    }

    fn set(&self, handle: Option<Arc<InterruptHandle>>) {
        *self.lock() = handle;
    }

    fn interrupt(&self) {
        if let Some(handle) = &*self.lock() {
            handle.interrupt();
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Arc<InterruptHandle>>> {
        self.0
            .running
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.0.ended.cancel();
    }
}

impl Drop for InterruptOnDrop {
    fn drop(&mut self) {
        self.cancelled.cancel();
        if self.query.0.ended.is_cancelled() {
            return;
        }
        // Without a runtime the process is ending anyway.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(self.query.clone().insist());
        }
    }
}
