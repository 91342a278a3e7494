//! What one router itself has seen of a worker, and how much it asks of it now.

use crate::breaker::{Breaker, Circuit};
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use streamsync_core::Class;

/// The weight of the newest answer in the average of a worker's latency.
const NEWEST: f64 = 0.1;
/// For how long a worker that said that it is busy is asked less.
const BUSY_FOR: Duration = Duration::from_millis(250);

/// What one router itself has seen of a worker. It is shared by all rosters that the worker is in.
#[derive(Debug, Default)]
pub struct Record {
    in_flight: AtomicU32,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    breaker: Breaker,
    /// The average latency of each class in seconds; 0 where nothing is known.
    latency: [f64; Class::ALL.len()],
    busy_until: Duration,
}

impl Record {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many of this router's queries the worker has before it.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether the worker may be asked.
    pub fn circuit(&self, now: Duration) -> Circuit {
        self.seen().breaker.circuit(now)
    }

    /// Whether it said lately that it is busy.
    pub fn is_busy(&self, now: Duration) -> bool {
        now < self.seen().busy_until
    }

    /// Its average latency for queries of a class; `None` where nothing is known.
    pub fn latency(&self, class: Class) -> Option<Duration> {
        let seconds = self.seen().latency[class.index()];
        (seconds > 0.0).then(|| Duration::from_secs_f64(seconds))
    }

    pub(crate) fn asked(&self, now: Duration) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.seen().breaker.asked(now);
    }

    pub(crate) fn answered(&self, class: Class, took: Duration, now: Duration) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let mut seen = self.seen();
        seen.breaker.worked(now);
        seen.average(class, took);
    }

    pub(crate) fn busy(&self, now: Duration) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let mut seen = self.seen();
        seen.breaker.busy();
        seen.busy_until = now + BUSY_FOR;
    }

    pub(crate) fn failed(&self, now: Duration, jitter: f64) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.seen().breaker.failed(now, jitter);
    }

    /// Notes that a worker that had answered already, and so is not in flight, did not deliver.
    pub(crate) fn broke_promise(&self, now: Duration, jitter: f64) {
        self.seen().breaker.open(now, jitter);
    }

    /// Notes that nobody waits for its answer any more, for a reason that is not its own.
    pub(crate) fn given_up(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        self.seen().breaker.busy();
    }

    /// Notes that others were faster: that it takes at least so long is all that is known.
    pub(crate) fn hung_up(&self, class: Class, after: Duration, now: Duration, jitter: f64) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let mut seen = self.seen();
        seen.breaker.hung_up(now, jitter);
        if after.as_secs_f64() > seen.latency[class.index()] {
            seen.average(class, after);
        }
    }
}

impl Seen {
    fn average(&mut self, class: Class, took: Duration) {
        let average = &mut self.latency[class.index()];
        let took = took.as_secs_f64().max(1e-9);
        *average = if *average > 0.0 {
            *average + NEWEST * (took - *average)
        } else {
            took
        };
    }
}
