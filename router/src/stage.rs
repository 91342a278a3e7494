//! Where the time of a query goes.

use std::time::Duration;
use streamsync_core::clock::SharedClock;

/// Measures the stages of one query, one after the other, as
/// `streamsync_router_stage_seconds{stage}`.
pub(crate) struct Stages {
    clock: SharedClock,
    began: Duration,
    last: Duration,
}

impl Stages {
    pub(crate) fn begin(clock: SharedClock) -> Self {
        let began = clock.monotonic();
        Self {
            clock,
            began,
            last: began,
        }
    }

    /// The stage ends now, and the next begins.
    pub(crate) fn end(&mut self, stage: &'static str) {
        self.end_at(stage, self.clock.monotonic());
    }

    /// The stage ended at a time, and the next began.
    pub(crate) fn end_at(&mut self, stage: &'static str, at: Duration) {
        let took = at.saturating_sub(self.last);
        metrics::histogram!("streamsync_router_stage_seconds", "stage" => stage)
            .record(took.as_secs_f64());
        self.last = at.max(self.last);
    }

    /// How long all of it took up to now.
    pub(crate) fn took(&self) -> Duration {
        self.clock.monotonic().saturating_sub(self.began)
    }
}
