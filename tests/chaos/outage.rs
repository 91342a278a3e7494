//! When something was not there, so that errors can be told from excuses.

use crate::schedule::Target;
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use streamsync_core::clock::{Clock, SystemClock};

/// From when to when something was not as it should be, by the test's clock.
struct Outage {
    of: Target,
    from: Duration,
    to: Option<Duration>,
}

/// All outages. Cheap to clone.
#[derive(Clone, Default)]
pub struct Outages(Arc<Mutex<Vec<Outage>>>);

/// An outage that lasts until this is dropped.
pub struct Lasting {
    outages: Outages,
    place: usize,
}

impl Outages {
    pub fn begin(&self, of: Target) -> Lasting {
        let mut all = self.0.lock().unwrap();
        all.push(Outage {
            of,
            from: SystemClock.monotonic(),
            to: None,
        });
        Lasting {
            outages: self.clone(),
            place: all.len() - 1,
        }
    }

    /// Whether something was out at any time between two moments, or so long before.
    pub fn touched(&self, of: Target, from: Duration, to: Duration, before: Duration) -> bool {
        let all = self.0.lock().unwrap();
        all.iter().any(|outage| {
            outage.of == of && outage.from <= to && outage.to.is_none_or(|end| end + before >= from)
        })
    }
}

impl Drop for Lasting {
    fn drop(&mut self) {
        self.outages.0.lock().unwrap()[self.place].to = Some(SystemClock.monotonic());
    }
}
