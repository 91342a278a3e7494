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
    /// Whether anybody has asked, if only for a moment, or in vain.
    pub asked: bool,
    /// Whether this is what all routers say.
    pub complete: bool,
}

/// The workers that take queries.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Running {
    /// All that were started.
    pub all: usize,
    /// Those of them that have had time to change what there is to do.
    pub seasoned: usize,
}

/// Decides, and remembers what it would have decided for a while.
#[derive(Debug)]
pub struct Scaler {
    config: AutoscaleConfig,
    /// How many would have been enough, and when; `None` before the first look.
    enough: Option<VecDeque<(Duration, usize)>>,
}

impl Scaler {
    /// One that remembers nothing yet.
    pub fn new(config: AutoscaleConfig) -> Self {
        Self {
            config,
            enough: None,
        }
    }

    /// How many workers there should be, where so many run, at a time of a monotonic clock.
    pub fn wanted(&mut self, now: Duration, load: Load, running: Running) -> usize {
        let mut enough = self.enough(load, running);
        if !load.complete {
            enough = enough.max(running.all);
        }
        // Nothing is known of the time before the first look, so nobody is sent away by it.
        let first = || VecDeque::from([(now, running.all)]);
        let looks = self.enough.get_or_insert_with(first);
        let window = Duration::from_millis(self.config.down_after_ms);
        let forgotten = now.saturating_sub(window);
        looks.retain(|(at, _)| *at > forgotten);
        looks.push_back((now, enough));
        let most = looks.iter().map(|(_, enough)| *enough).max();
        most.unwrap_or(enough)
            .clamp(self.config.min, self.config.max)
    }

    /// How many are enough for what there is to do now.
    fn enough(&self, load: Load, running: Running) -> usize {
        let by_queries = load.queries / self.config.queries_per_worker;
        let by_queries = match running.all as f64 {
            running if self.is_near(by_queries / running) => running,
            _ => by_queries.ceil(),
        };
        let by_queue = load.queue_p95.map_or(0.0, |waited| {
            let ratio = waited.as_secs_f64() * 1e3 / self.config.queue_ms;
            match self.is_near(ratio) {
                true => running.all as f64,
                // Of what those say who answer: who has just been started is not among them. And one slow
                // query says little of how many workers there should be.
                false => (running.seasoned as f64 * ratio.min(2.0)).ceil(),
            }
        });
        let enough = by_queries.max(by_queue) as usize;
        match load.queries > 0.0 || load.asked {
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
            complete: true,
            ..Load::default()
        }
    }

    fn running(all: usize) -> Running {
        Running { all, seasoned: all }
    }

    #[test]
    fn up_at_once_and_down_when_fewer_were_enough_for_a_while() {
        let mut scaler = scaler();
        let mut now = 100 * SECOND;
        assert_eq!(scaler.wanted(now, queries(0.0), running(0)), 0);
        now += SECOND;
        assert_eq!(scaler.wanted(now, queries(1.0), running(0)), 3, "a quorum");
        now += SECOND;
        assert_eq!(scaler.wanted(now, queries(29.0), running(3)), 8);
        now += SECOND;
        assert_eq!(
            scaler.wanted(now, queries(1_000.0), running(8)),
            10,
            "the most"
        );
        let ramp_down = now;
        while now < ramp_down + 59 * SECOND {
            now += SECOND;
            assert_eq!(scaler.wanted(now, queries(5.0), running(10)), 10);
        }
        now += SECOND;
        assert_eq!(scaler.wanted(now, queries(5.0), running(10)), 3);
        for _ in 0..59 {
            now += SECOND;
            assert_eq!(
                scaler.wanted(now, queries(0.0), running(3)),
                3,
                "it was needed"
            );
        }
        now += SECOND;
        assert_eq!(scaler.wanted(now, queries(0.0), running(3)), 0);
    }

    #[test]
    fn nothing_changes_within_the_tolerance() {
        let mut scaler = scaler();
        let mut now = 100 * SECOND;
        for load in [19.0, 20.0, 21.0, 21.9, 18.1] {
            now += 120 * SECOND;
            assert_eq!(scaler.wanted(now, queries(load), running(5)), 5, "{load}");
            scaler.enough = None;
        }
        assert_eq!(scaler.wanted(now, queries(22.1), running(5)), 6);
    }

    #[test]
    fn queries_that_wait_at_workers_bring_more_of_them() {
        let queued = |millis| Load {
            queue_p95: Some(Duration::from_millis(millis)),
            ..queries(1.0)
        };
        let at = 100 * SECOND;
        assert_eq!(scaler().wanted(at, queued(7), running(4)), 6);
        assert_eq!(scaler().wanted(at, queued(5), running(4)), 4);
        assert_eq!(
            scaler().wanted(at, queued(500), running(4)),
            8,
            "twice as many at the most"
        );
        let young = Running {
            all: 8,
            seasoned: 4,
        };
        assert_eq!(
            scaler().wanted(at, queued(500), young),
            8,
            "those who were started have not answered yet"
        );
    }

    #[test]
    fn whoever_asks_finds_a_quorum() {
        let asked = Load {
            asked: true,
            ..queries(0.0)
        };
        let mut scaler = scaler();
        scaler.config.min = 1;
        let at = 100 * SECOND;
        assert_eq!(scaler.wanted(at, queries(0.0), running(1)), 1);
        assert_eq!(scaler.wanted(at + SECOND, asked, running(1)), 3);
        assert_eq!(scaler.wanted(at + 61 * SECOND, queries(0.0), running(3)), 1);
    }

    #[test]
    fn what_not_all_routers_say_sends_nobody_away_and_may_bring_some() {
        let part = |asked| Load {
            complete: false,
            ..queries(asked)
        };
        let mut scaler = scaler();
        let mut at = 100 * SECOND;
        for _ in 0..3 {
            at += 120 * SECOND;
            assert_eq!(scaler.wanted(at, part(0.0), running(6)), 6);
        }
        assert_eq!(scaler.wanted(at, part(29.0), running(6)), 8);
    }

    #[test]
    fn without_a_while_to_wait_they_go_at_once() {
        let mut scaler = scaler();
        scaler.config.down_after_ms = 0;
        let at = 100 * SECOND;
        assert_eq!(scaler.wanted(at, queries(0.0), running(6)), 0);
    }

    #[test]
    fn nobody_is_sent_away_by_one_who_has_just_begun_to_look() {
        let mut scaler = scaler();
        assert_eq!(scaler.wanted(100 * SECOND, queries(0.0), running(6)), 6);
        assert_eq!(scaler.wanted(101 * SECOND, queries(0.0), running(6)), 6);
    }
}
