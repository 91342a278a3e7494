//! When a worker that fails is left alone, and tried again.

use std::time::Duration;

/// Failures in a row after which a worker is left alone.
const FAILURES: u32 = 3;
/// For how long, the first time; twice as long each further time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// After so long without another failure the next one is the first again.
const FORGIVEN_AFTER: Duration = Duration::from_secs(60);
/// Races in a row that were over before the worker answered, after which it counts as one that does
/// not answer at all.
const SILENCES: u32 = 16;

/// A circuit breaker (Nygard, "Release It!", 2007): after several failures in a row the circuit is
/// open, and the worker is not asked; after a pause one query may try whether it works again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Breaker {
    failures: u32,
    silences: u32,
    is_open: bool,
    /// How often the circuit has opened since all was well.
    openings: u32,
    open_until: Duration,
    probing: bool,
}

/// Whether a worker may be asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Circuit {
    /// It may.
    Closed,
    /// It may not.
    Open,
    /// Once, to see whether it works again.
    HalfOpen,
}

impl Breaker {
    /// Whether the worker may be asked at a time.
    pub fn circuit(&self, now: Duration) -> Circuit {
        if !self.is_open {
            Circuit::Closed
        } else if self.probing || now < self.open_until {
            Circuit::Open
        } else {
            Circuit::HalfOpen
        }
    }

    /// Notes that the worker is asked.
    pub fn asked(&mut self, now: Duration) {
        self.probing |= self.circuit(now) == Circuit::HalfOpen;
    }

    /// Notes that it answered.
    pub fn worked(&mut self, now: Duration) {
        let forgiven = now >= self.open_until + FORGIVEN_AFTER;
        *self = Self {
            openings: if forgiven { 0 } else { self.openings },
            open_until: self.open_until,
            ..Self::default()
        };
    }

    /// Notes that it said that it is busy, which says nothing.
    pub fn busy(&mut self) {
        self.probing = false;
    }

    /// Notes that the race was over before it answered. Once that says little, but who never answers
    /// in time is of no use. `jitter` as in [`Breaker::failed`].
    pub fn hung_up(&mut self, now: Duration, jitter: f64) {
        self.silences += 1;
        if self.silences >= SILENCES {
            self.open(now, jitter);
        }
        self.probing = false;
    }

    /// Notes that it failed. `jitter`, 0 to 1, makes the pause up to a quarter longer, so that not
    /// all routers try at once.
    pub fn failed(&mut self, now: Duration, jitter: f64) {
        self.failures += 1;
        if self.probing || self.failures >= FAILURES {
            self.open(now, jitter);
        }
    }

    /// Opens the circuit at once: it broke a promise, which costs more than to fail.
    pub fn open(&mut self, now: Duration, jitter: f64) {
        let pause = FIRST_PAUSE * (1 << self.openings.min(6));
        self.open_until = now + pause.min(LONGEST_PAUSE).mul_f64(1.0 + jitter / 4.0);
        self.openings += 1;
        self.is_open = true;
        self.probing = false;
        self.failures = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn three_failures_open_it_and_one_probe_closes_it() {
        let mut breaker = Breaker::default();
        breaker.failed(Duration::ZERO, 0.0);
        breaker.failed(Duration::ZERO, 0.0);
        breaker.worked(Duration::ZERO);
        breaker.failed(Duration::ZERO, 0.0);
        breaker.failed(Duration::ZERO, 0.0);
        assert_eq!(breaker.circuit(Duration::ZERO), Circuit::Closed);
        breaker.failed(Duration::ZERO, 0.0);
        assert_eq!(breaker.circuit(SECOND / 4), Circuit::Open);
        assert_eq!(breaker.circuit(SECOND / 2), Circuit::HalfOpen);
        breaker.asked(SECOND / 2);
        assert_eq!(breaker.circuit(SECOND / 2), Circuit::Open);
        breaker.worked(SECOND / 2);
        assert_eq!(breaker.circuit(SECOND / 2), Circuit::Closed);
    }

    #[test]
    fn each_opening_doubles_the_pause_up_to_a_bound_until_a_quiet_minute() {
        let mut breaker = Breaker::default();
        let mut now = Duration::ZERO;
        breaker.open(now, 0.0);
        for pause in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            now += Duration::from_millis(pause);
            assert_eq!(breaker.circuit(now - SECOND / 1_000), Circuit::Open);
            assert_eq!(breaker.circuit(now), Circuit::HalfOpen);
            breaker.asked(now);
            // Now and then it works, but not for long.
            breaker.worked(now);
            breaker.open(now, 0.0);
        }
        now += LONGEST_PAUSE;
        breaker.worked(now);
        breaker.worked(now + FORGIVEN_AFTER);
        breaker.open(now, 0.0);
        assert_eq!(breaker.circuit(now + FIRST_PAUSE), Circuit::HalfOpen);
    }

    #[test]
    fn who_never_answers_in_time_is_left_alone() {
        let mut breaker = Breaker::default();
        for _ in 1..SILENCES {
            breaker.hung_up(Duration::ZERO, 0.0);
        }
        breaker.worked(Duration::ZERO);
        for _ in 1..SILENCES {
            breaker.hung_up(Duration::ZERO, 0.0);
        }
        assert_eq!(breaker.circuit(Duration::ZERO), Circuit::Closed);
        breaker.hung_up(Duration::ZERO, 1.0);
        assert_eq!(breaker.circuit(SECOND / 2), Circuit::Open, "jitter");
        breaker.asked(SECOND);
        breaker.hung_up(SECOND, 0.0);
        assert_eq!(
            breaker.circuit(SECOND),
            Circuit::Open,
            "the probe is silent, too"
        );
    }

    #[test]
    fn a_probe_that_was_told_that_it_is_busy_is_tried_again() {
        let mut breaker = Breaker::default();
        breaker.open(Duration::ZERO, 0.0);
        breaker.asked(SECOND);
        breaker.busy();
        assert_eq!(breaker.circuit(SECOND), Circuit::HalfOpen);
    }
}
