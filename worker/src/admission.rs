//! Who may run now, who waits, and who is told to come back later.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Too many queries run and wait already.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the worker runs {running} queries and has {waiting} waiting; come back later")]
pub struct Busy {
    /// How many run.
    pub running: usize,
    /// How many wait.
    pub waiting: usize,
}

/// A bounded number of queries that run, and a bounded queue before them.
pub(crate) struct Admission {
    places: Arc<Semaphore>,
    running: usize,
    queue: usize,
    waiting: AtomicUsize,
}

/// Counts one that waits, until it stops to.
struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Admission {
    pub(crate) fn new(running: usize, queue: usize) -> Self {
        let places = Arc::new(Semaphore::new(running));
        Self {
            places,
            running,
            queue,
            waiting: AtomicUsize::new(0),
        }
    }

    /// A place to run, as soon as there is one. Whoever stops waiting leaves the queue.
    pub(crate) async fn enter(&self) -> Result<OwnedSemaphorePermit, Busy> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let before = self.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(&self.waiting);
        let busy = Busy {
            running: self.running,
            waiting: before,
        };
        if before >= self.queue {
            return Err(busy);
        }
        Arc::clone(&self.places)
            .acquire_owned()
            .await
            .map_err(|_closed| busy)
    }

    pub(crate) fn running(&self) -> usize {
        self.running - self.places.available_permits()
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures::{FutureExt, poll};
    use std::pin::pin;

    #[tokio::test]
    async fn places_then_the_queue_then_busy() {
        let admission = Admission::new(1, 1);
        let first = admission.enter().await.unwrap();
        let mut second = pin!(admission.enter());
        assert!(poll!(&mut second).is_pending());
        let busy = admission.enter().now_or_never().unwrap().unwrap_err();
        assert_eq!((busy.running, busy.waiting), (1, 1));
        drop(first);
        let _second = second.await.unwrap();
        assert_eq!((admission.running(), admission.waiting()), (1, 0));
    }

    #[tokio::test]
    async fn who_gives_up_leaves_the_queue() {
        let admission = Admission::new(1, 1);
        let _first = admission.enter().await.unwrap();
        {
            let mut second = pin!(admission.enter());
            assert!(poll!(&mut second).is_pending());
            assert_eq!(admission.waiting(), 1);
        }
        assert_eq!(admission.waiting(), 0);
    }
}
