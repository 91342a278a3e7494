//! Stopping DuckDB in the middle of a query.

use duckdb::InterruptHandle;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// How long DuckDB has to notice an interrupt before it gets another. One can be lost: DuckDB
/// forgets those that come in the moment before a query begins.
const INSIST_EVERY: Duration = Duration::from_millis(10);

/// The query that may be interrupted, while it runs. The lock makes sure that an interrupt never
/// hits the next query of the same connection.
#[derive(Clone, Default)]
pub(crate) struct Interruptible(Arc<Mutex<Option<Arc<InterruptHandle>>>>);

/// Ends the possibility to interrupt when dropped.
pub(crate) struct Running<'a>(&'a Interruptible);

impl Interruptible {
    /// From now on interrupts reach this connection.
    pub(crate) fn begin(&self, handle: Arc<InterruptHandle>) -> Running<'_> {
        self.set(Some(handle));
        Running(self)
    }

    fn set(&self, handle: Option<Arc<InterruptHandle>>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = handle;
    }

    fn interrupt(&self) {
        if let Some(handle) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            handle.interrupt();
        }
    }

    /// Interrupts when `cancelled`, and goes on doing so until `ended`.
    pub(crate) async fn watch(self, cancelled: CancellationToken, ended: CancellationToken) {
        tokio::select! {
            () = ended.cancelled() => return,
            () = cancelled.cancelled() => {}
        }
        let mut turns = tokio::time::interval(INSIST_EVERY);
        while !ended.is_cancelled() {
            turns.tick().await;
            self.interrupt();
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.set(None);
    }
}
