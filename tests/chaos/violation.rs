//! What must never happen, and did.

use crate::schedule::seconds;
use std::sync::{Arc, Mutex};
use streamsync_core::clock::{Clock, SystemClock};

/// How many are told in full.
const TOLD: usize = 20;

/// All that went against the promises. Cheap to clone.
#[derive(Clone, Default)]
pub struct Violations(Arc<Mutex<Vec<String>>>);

impl Violations {
    /// Notes one, and says so at once.
    pub fn note(&self, what: impl Into<String>) {
        let what = what.into();
        let mut all = self.0.lock().unwrap();
        if all.len() < TOLD {
            println!("{} VIOLATED: {what}", seconds(SystemClock.monotonic()));
        }
        all.push(what);
    }

    /// Those that are told, and how many there are.
    pub fn told(&self) -> (Vec<String>, usize) {
        let all = self.0.lock().unwrap();
        (all.iter().take(TOLD).cloned().collect(), all.len())
    }
}
