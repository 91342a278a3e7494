//! Durations, and what can be said of many.

use std::time::Duration;
use streamsync_core::clock::{Clock, SystemClock};

/// Time since some fixed moment in this process.
pub fn now() -> Duration {
    SystemClock.monotonic()
}

/// How long each of many runs took.
#[derive(Clone, Debug, Default)]
pub struct Sample(Vec<Duration>);

impl Sample {
    /// Adds runs.
    pub fn add(&mut self, runs: impl IntoIterator<Item = Duration>) {
        self.0.extend(runs);
    }

    /// Adds the runs of another.
    pub fn merge(&mut self, other: Sample) {
        self.0.extend(other.0);
    }

    /// How many there were.
    pub fn runs(&self) -> usize {
        self.0.len()
    }

    /// In microseconds, by nearest rank: of 100 runs the median is the 50th, `quantile(0.99)` the
    /// 99th.
    pub fn quantile(&self, part: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (part * sorted.len() as f64).ceil() as usize;
        sorted
            .get(rank.max(1) - 1)
            .map_or(f64::NAN, |duration| duration.as_secs_f64() * 1e6)
    }

    /// The median, in microseconds.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_nearest_rank() {
        let mut sample = Sample::default();
        sample.add((1..=100).rev().map(Duration::from_micros));
        assert_eq!((sample.median(), sample.quantile(0.99)), (50.0, 99.0));
        assert_eq!((sample.quantile(0.0), sample.quantile(1.0)), (1.0, 100.0));
        assert!(Sample::default().median().is_nan());
    }
}
