//! Time, passed in and never taken from the air, so that tests decide it.
//!
//! This file is the only one that reads the system's clocks; `clippy.toml` bans it elsewhere.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Where a part of StreamSync gets its time from.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock: for time stamps that others read.
    fn now(&self) -> SystemTime;

    /// Time since some fixed moment in this process, never going back: for measuring.
    fn monotonic(&self) -> Duration;

    /// Milliseconds since 1970-01-01T00:00Z.
    fn unix_millis(&self) -> u64 {
        let since = self.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A clock to share.
pub type SharedClock = Arc<dyn Clock>;

/// The machine's own clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods)]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    #[allow(clippy::disallowed_methods)]
    fn monotonic(&self) -> Duration {
        static START: OnceLock<Instant> = OnceLock::new();
        START.get_or_init(Instant::now).elapsed()
    }
}

/// A clock that stands until it is moved, for tests.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// A clock at a number of milliseconds since 1970.
    pub fn at(unix_millis: u64) -> Self {
        Self(AtomicU64::new(unix_millis))
    }

    /// Moves the clock on.
    pub fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.0.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + self.monotonic()
    }

    fn monotonic(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::SeqCst))
    }
}
