//! How long races took lately.

use std::time::Duration;
use streamsync_core::Class;

/// The races of one class that are remembered.
const REMEMBERED: usize = 512;
/// After how many more the quantile is taken again.
const RENEWED_AFTER: usize = 32;
/// What is taken for the quantile before anything is known.
const UNKNOWN: Duration = Duration::from_millis(50);

/// The 19 in 20 fastest of the last 512 races of each class.
#[derive(Clone, Debug, Default)]
pub struct RecentLatency([Window; Class::ALL.len()]);

#[derive(Clone, Debug, Default)]
struct Window {
    took: Vec<Duration>,
    next: usize,
    new: usize,
    p95: Option<Duration>,
}

impl RecentLatency {
    /// Notes how long a race took.
    pub fn note(&mut self, class: Class, took: Duration) {
        let window = &mut self.0[class.index()];
        if window.took.len() < REMEMBERED {
            window.took.push(took);
        } else {
            window.took[window.next] = took;
            window.next = (window.next + 1) % REMEMBERED;
        }
        window.new += 1;
        if window.new >= RENEWED_AFTER {
            window.new = 0;
            let mut sorted = window.took.clone();
            let place = sorted.len() * 19 / 20;
            window.p95 = Some(*sorted.select_nth_unstable(place).1);
        }
    }

    /// What 19 in 20 races of a class lately stayed under.
    pub fn p95(&self, class: Class) -> Duration {
        self.0[class.index()].p95.unwrap_or(UNKNOWN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_races_are_forgotten() {
        let mut recent = RecentLatency::default();
        assert_eq!(recent.p95(Class::Scan), UNKNOWN);
        (0..1_000).for_each(|_| recent.note(Class::Scan, Duration::from_secs(9)));
        assert_eq!(recent.p95(Class::Scan), Duration::from_secs(9));
        (0..512).for_each(|micros| recent.note(Class::Scan, Duration::from_micros(micros)));
        let p95 = recent.p95(Class::Scan);
        assert!((470..=500).contains(&p95.as_micros()), "{p95:?}");
        assert_eq!(recent.p95(Class::Lookup), UNKNOWN);
    }
}
