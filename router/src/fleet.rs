//! The workers, as this router last heard of them.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use streamsync_core::clock::SharedClock;
use streamsync_registry::{Health, RegisteredWorker};

/// The router's own copy of the registry, so that no query waits for Redis. While Redis is away
/// it keeps what it had, and lets workers grow old in it as they would in Redis.
#[derive(Clone)]
pub struct Fleet {
    known: Arc<RwLock<Known>>,
    clock: SharedClock,
}

#[derive(Default)]
struct Known {
    workers: Arc<Vec<RegisteredWorker>>,
    /// When Redis answered last, by the monotonic clock; `None` before the first time.
    heard_at: Option<Duration>,
    /// Whether Redis answered the last time that it was asked.
    in_touch: bool,
}

impl Fleet {
    /// A fleet that nothing is known of yet.
    pub fn new(clock: SharedClock) -> Self {
        Self {
            known: Arc::default(),
            clock,
        }
    }

    /// Takes what the registry says now.
    pub fn heard(&self, workers: Vec<RegisteredWorker>) {
        let heard_at = Some(self.clock.monotonic());
        let known = Known {
            workers: Arc::new(workers),
            heard_at,
            in_touch: true,
        };
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = known;
    }

    /// Notes that the registry did not answer. Returns whether it had before.
    pub fn lost(&self) -> bool {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut known.in_touch, false)
    }

    /// Whether the registry answered the last time.
    pub fn in_touch(&self) -> bool {
        self.known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .in_touch
    }

    /// The workers with their states. While Redis is away nobody can tell who still beats, so
    /// states stay as they were.
    pub fn workers(&self) -> Vec<(RegisteredWorker, Health)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let since = match (known.in_touch, known.heard_at) {
            (true, Some(heard_at)) => self.clock.monotonic().saturating_sub(heard_at),
            _ => Duration::ZERO,
        };
        let workers = known.workers.iter().cloned().map(|mut worker| {
            worker.age += since;
            let health = worker.health();
            (worker, health)
        });
        workers.collect()
    }
}
