//! Progress as lines in the log.

use super::{Done, Progress};
use crate::{Failure, Report};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use streamsync_core::clock::SharedClock;

/// The time between two lines.
const EVERY: Duration = Duration::from_secs(5);

/// The most gaps that are named one by one; the report has all.
const NAMED_GAPS: usize = 20;

/// A structured log line every few seconds, one for each failure, and one at the end.
pub struct ProgressLines {
    clock: SharedClock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    expected: Option<u64>,
    last: Option<(Duration, Done)>,
}

impl ProgressLines {
    /// Lines by that clock.
    pub fn new(clock: SharedClock) -> Self {
        let state = State {
            last: Some((clock.monotonic(), Done::default())),
            ..State::default()
        };
        Self {
            clock,
            state: Mutex::new(state),
        }
    }
}

impl Progress for ProgressLines {
    fn started(&self, source: &str) {
        tracing::info!(source, "ingesting");
    }

    fn expected(&self, slots: u64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.expected = Some(slots);
    }

    fn advanced(&self, done: Done) {
        let now = self.clock.monotonic();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (since, before) = state.last.unwrap_or((now, done));
        let passed = now.saturating_sub(since);
        if passed < EVERY {
            return;
        }
        let rate = |now: u64, before: u64| {
            (now.saturating_sub(before) as f64 / passed.as_secs_f64()).round() as u64
        };
        tracing::info!(
            slots = done.slots,
            of = state.expected,
            rows = done.rows,
            slots_per_second = rate(done.slots, before.slots),
            rows_per_second = rate(done.rows, before.rows),
            "ingesting"
        );
        state.last = Some((now, done));
    }

    fn failed(&self, failure: &Failure) {
        tracing::warn!(%failure, "could not ingest");
    }

    fn finished(&self, report: &Report) {
        for gap in report.missing_parents.iter().take(NAMED_GAPS) {
            tracing::warn!(slot = %gap.slot, parent_slot = %gap.parent_slot, "parent is missing");
        }
        tracing::info!(
            ingested = report.ingested.len(),
            already_there = report.already_there.len(),
            skipped = report.skipped.len(),
            failed = report.failures.len(),
            missing_parents = report.missing_parents.len(),
            rows = report.total_rows(),
            bytes = report.bytes,
            seconds = report.elapsed.as_secs_f64(),
            "ingested"
        );
    }
}
