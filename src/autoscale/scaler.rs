//! How many workers there should be.
//!
//! The rule is that of Kubernetes' HorizontalPodAutoscaler (its documentation, "Algorithm details"), so
//! that what holds here holds for the Helm chart, where KEDA gives the same two metrics to it: for each
//! metric the number of workers that would bring it to its target, the greater of both, and nothing while
//! they are within a tolerance; fewer only when fewer have been enough for a while.

use std::{collections::VecDeque, time::Duration};
use streamsync_core::config::AutoscaleConfig;

/// What there is to do.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Load {
    /// Queries that are raced or wait, at all routers.
    pub queries: f64,
    /// The 95th percentile of how long queries waited in workers' queues; `None` if there were none.
    pub queue_p95: Option<Duration>,
}

/// Decides, and remembers what it would have decided for a while.
#[derive(Debug)]
pub struct Scaler {
    config: AutoscaleConfig,
    /// How many would have been enough, and when.
    enough: VecDeque<(Duration, usize)>,
}

impl Scaler {
    /// One that remembers nothing yet.
    pub fn new(config: AutoscaleConfig) -> Self {
        Self {
            config,
            enough: VecDeque::new(),
        }
    }

    /// How many workers there should be, where so many run, at a time of a monotonic clock.
    pub fn wanted(&mut self, now: Duration, load: Load, running: usize) -> usize {
        let enough = self.enough(load, running);
        let window = Duration::from_millis(self.config.down_after_ms);
        let forgotten = now.saturating_sub(window);
        self.enough.retain(|(at, _)| *at > forgotten);
        if self.enough.is_empty() {
            // Nothing is known of the time before, so nobody is sent away by it.
            self.enough.push_back((now, running));
        }
        self.enough.push_back((now, enough));
        let most = self.enough.iter().map(|(_, enough)| *enough).max();
        most.unwrap_or(enough)
            .clamp(self.config.min, self.config.max)
    }

    /// How many are enough for what there is to do now.
    fn enough(&self, load: Load, running: usize) -> usize {
        let by_queries = load.queries / self.config.queries_per_worker;
        let by_queries = match running as f64 {
            running if self.is_near(by_queries / running) => running,
            _ => by_queries.ceil(),
        };
        let by_queue = load.queue_p95.map_or(0.0, |waited| {
            let ratio = waited.as_secs_f64() * 1e3 / self.config.queue_ms;
            match running as f64 {
                running if self.is_near(ratio) => running,
                // One slow query says little of how many workers there should be.
                running => (running * ratio.min(2.0)).ceil(),
            }
        });
        let enough = by_queries.max(by_queue) as usize;
        match load.queries > 0.0 {
            true => enough.max(self.config.quorum),
            false => enough,
        }
    }

    fn is_near(&self, ratio: f64) -> bool {
        (ratio - 1.0).abs() <= self.config.tolerance
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn scaler() -> Scaler {
        Scaler::new(AutoscaleConfig {
            min: 0,
            max: 10,
            quorum: 3,
            queries_per_worker: 4.0,
            queue_ms: 5.0,
            down_after_ms: 60_000,
            ..AutoscaleConfig::default()
        })
    }

    fn queries(queries: f64) -> Load {
        Load {
            queries,
            queue_p95: None,
        }
    }

    #[test]
    fn up_at_once_and_down_when_fewer_were_enough_for_a_while() {
        let mut scaler = scaler();
        let mut now = 100 * SECOND;
        assert_eq!(scaler.wanted(now, queries(0.0), 0), 0);
        now += SECOND;
        assert_eq!(scaler.wanted(now, queries(1.0), 0), 3, "a quorum");
        now += SECOND;
        assert_eq!(scaler.wanted(now, queries(29.0), 3), 8);
        now += SECOND;
        assert_eq!(scaler.wanted(now, queries(1_000.0), 8), 10, "the most");
        let ramp_down = now;
        while now < ramp_down + 59 * SECOND {
            now += SECOND;
            assert_eq!(scaler.wanted(now, queries(5.0), 10), 10);
        }
        now += SECOND;
        assert_eq!(scaler.wanted(now, queries(5.0), 10), 3);
        for _ in 0..59 {
            now += SECOND;
            assert_eq!(scaler.wanted(now, queries(0.0), 3), 3, "it was needed");
        }
        now += SECOND;
        assert_eq!(scaler.wanted(now, queries(0.0), 3), 0);
    }

    #[test]
    fn nothing_changes_within_the_tolerance() {
        let mut scaler = scaler();
        let mut now = 100 * SECOND;
        for load in [19.0, 20.0, 21.0, 21.9, 18.1] {
            now += 120 * SECOND;
            assert_eq!(scaler.wanted(now, queries(load), 5), 5, "{load}");
            scaler.enough.clear();
        }
        assert_eq!(scaler.wanted(now, queries(22.1), 5), 6);
    }

    #[test]
    fn queries_that_wait_at_workers_bring_more_of_them() {
        let queued = |millis| Load {
            queries: 1.0,
            queue_p95: Some(Duration::from_millis(millis)),
        };
        let at = 100 * SECOND;
        assert_eq!(scaler().wanted(at, queued(7), 4), 6);
        assert_eq!(scaler().wanted(at, queued(5), 4), 4);
        assert_eq!(
            scaler().wanted(at, queued(500), 4),
            8,
            "twice as many at the most"
        );
    }

    #[test]
    fn nobody_is_sent_away_by_one_who_has_just_begun_to_look() {
        let mut scaler = scaler();
        assert_eq!(scaler.wanted(100 * SECOND, queries(0.0), 6), 6);
        assert_eq!(scaler.wanted(101 * SECOND, queries(0.0), 6), 6);
    }
}
