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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use std::{
        io,
        sync::{Arc, MutexGuard},
    };
    use streamsync_core::clock::ManualClock;

    /// Collects what is logged.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl Log {
        fn bytes(&self) -> MutexGuard<'_, Vec<u8>> {
            self.0.lock().unwrap()
        }
    }

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.bytes().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn there_is_a_line_every_few_seconds() {
        let (log, clock) = (Log::default(), Arc::new(ManualClock::at(0)));
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            let lines = ProgressLines::new(clock.clone());
            lines.expected(900);
            for second in 0..13 {
                let done = Done {
                    slots: 10 * second,
                    rows: 1_000 * second,
                };
                lines.advanced(done);
                clock.advance(Duration::from_secs(1));
            }
        });
        let said = String::from_utf8(log.bytes().clone()).unwrap();
        assert_eq!(said.lines().count(), 2, "{said}");
        assert!(said.contains("slots=50 of=900"), "{said}");
        assert!(said.contains("rows_per_second=1000"), "{said}");
    }
}
