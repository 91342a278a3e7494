//! When a worker that fails is left alone, and tried again.

use std::time::Duration;

/// Failures in a row after which a worker is left alone.
const FAILURES: u32 = 3;
/// For how long, the first time; twice as long each further time.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A circuit breaker (Nygard, "Release It!", 2007): after several failures in a row the circuit is
/// open, and the worker is not asked; after a pause one query may try whether it works again.
#[derive(Clone, Copy, Debug, Default)]
pub struct Breaker {
    failures: u32,
    /// How often the circuit has opened since it last worked.
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
        if self.openings == 0 {
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
    pub fn worked(&mut self) {
        *self = Self::default();
    }

    /// Notes that it was hung up on before it could answer, which says nothing.
    pub fn hung_up(&mut self) {
        self.probing = false;
    }

    /// Notes that it failed. `jitter`, 0 to 1, makes the pause up to a quarter longer, so that not
    /// all routers try at once. Returns whether the circuit opens now.
    pub fn failed(&mut self, now: Duration, jitter: f64) -> bool {
        self.failures += 1;
        let opens = self.probing || (self.openings == 0 && self.failures >= FAILURES);
        self.probing = false;
        if opens {
            let pause = FIRST_PAUSE * (1 << self.openings.min(6));
            self.open_until = now + pause.min(LONGEST_PAUSE).mul_f64(1.0 + jitter / 4.0);
            self.openings += 1;
        }
        opens
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn three_failures_open_it_and_one_probe_closes_it() {
        let mut breaker = Breaker::default();
        assert!(!breaker.failed(Duration::ZERO, 0.0));
        assert!(!breaker.failed(Duration::ZERO, 0.0));
        breaker.worked();
        assert!(!breaker.failed(Duration::ZERO, 0.0));
        assert!(!breaker.failed(Duration::ZERO, 0.0));
        assert_eq!(breaker.circuit(Duration::ZERO), Circuit::Closed);
        assert!(breaker.failed(Duration::ZERO, 0.0));
        assert_eq!(breaker.circuit(SECOND / 4), Circuit::Open);
        assert_eq!(breaker.circuit(SECOND / 2), Circuit::HalfOpen);
        breaker.asked(SECOND / 2);
        assert_eq!(breaker.circuit(SECOND / 2), Circuit::Open);
        breaker.worked();
        assert_eq!(breaker.circuit(SECOND / 2), Circuit::Closed);
    }

    #[test]
    fn each_failed_probe_doubles_the_pause_up_to_a_bound() {
        let mut breaker = Breaker::default();
        let mut now = Duration::ZERO;
        for _ in 0..3 {
            breaker.failed(now, 0.0);
        }
        for pause in [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000] {
            now += Duration::from_millis(pause);
            assert_eq!(breaker.circuit(now - SECOND / 1_000), Circuit::Open);
            assert_eq!(breaker.circuit(now), Circuit::HalfOpen);
            breaker.asked(now);
            assert!(breaker.failed(now, 0.0));
        }
    }

    #[test]
    fn a_probe_that_was_hung_up_on_is_tried_again() {
        let mut breaker = Breaker::default();
        for _ in 0..3 {
            breaker.failed(Duration::ZERO, 1.0);
        }
        assert_eq!(breaker.circuit(SECOND / 2), Circuit::Open, "jitter");
        breaker.asked(SECOND);
        breaker.hung_up();
        assert_eq!(breaker.circuit(SECOND), Circuit::HalfOpen);
    }
}
