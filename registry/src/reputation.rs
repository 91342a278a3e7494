//! What a worker's record is worth.

use serde::{Deserialize, Serialize};
use std::{ops::AddAssign, time::Duration};

/// What was seen of a worker in some races.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Answers that others confirmed.
    pub right: u64,
    /// Answers that others contradicted.
    pub wrong: u64,
    /// Queries that it answered.
    pub answered: u64,
    /// Queries that it failed: no connection, an error, a stalled answer.
    pub failed: u64,
    /// The sum of its places in races: 1 for the first, 0 for the last.
    pub places: f64,
    /// Races in which it took a place.
    pub placed: u64,
}

impl AddAssign for Observed {
    fn add_assign(&mut self, other: Self) {
        self.right += other.right;
        self.wrong += other.wrong;
        self.answered += other.answered;
        self.failed += other.failed;
        self.places += other.places;
        self.placed += other.placed;
    }
}

/// A worker's record: exponentially weighted sums of what was seen of it, in which what happened a
/// half-life ago counts half.
///
/// Sums rather than averages, so that routers that saw different races can add theirs in any
/// order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reputation {
    /// Answers that others confirmed.
    pub right: f64,
    /// Answers that others contradicted.
    pub wrong: f64,
    /// Queries that it answered.
    pub answered: f64,
    /// Queries that it failed.
    pub failed: f64,
    /// The sum of its places in races.
    pub places: f64,
    /// Races in which it took a place.
    pub placed: f64,
}

/// What a worker starts with counts like so many observations.
const PRIOR: f64 = 10.0;
/// The share of them that were good.
const PRIOR_GOOD: f64 = 0.8;
/// A proven lie counts like so many wrong answers, and takes away all right ones.
pub const LIE: f64 = 100.0;

impl Reputation {
    /// Lets time pass.
    pub fn fade(&mut self, elapsed: Duration, half_life: Duration) {
        let left = (-elapsed.as_secs_f64() / half_life.as_secs_f64()).exp2();
        for sum in [
            &mut self.right,
            &mut self.wrong,
            &mut self.answered,
            &mut self.failed,
            &mut self.places,
            &mut self.placed,
        ] {
            *sum *= left;
        }
    }

    /// Adds what was seen.
    pub fn add(&mut self, observed: &Observed) {
        self.right += observed.right as f64;
        self.wrong += observed.wrong as f64;
        self.answered += observed.answered as f64;
        self.failed += observed.failed as f64;
        self.places += observed.places;
        self.placed += observed.placed as f64;
    }

    /// Takes a proven lie into account.
    pub fn convict(&mut self) {
        self.right = 0.0;
        self.wrong += LIE;
    }

    /// The share of its answers that were right, 0 to 1.
    pub fn correctness(&self) -> f64 {
        share(self.right, self.wrong)
    }

    /// The share of queries that it answered, 0 to 1.
    pub fn availability(&self) -> f64 {
        share(self.answered, self.failed)
    }

    /// The share of the other racers that it is faster than, 0 to 1.
    pub fn speed(&self) -> f64 {
        (self.places + PRIOR / 2.0) / (self.placed + PRIOR)
    }

    /// All of it in one number, 0 to 1. Speed is worth up to half: a network in which only the
    /// fastest are asked would soon have nobody to confirm them.
    pub fn score(&self) -> f64 {
        self.correctness() * self.availability() * (0.5 + 0.5 * self.speed())
    }
}

fn share(good: f64, bad: f64) -> f64 {
    (good + PRIOR * PRIOR_GOOD) / (good + bad + PRIOR)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    #[test]
    fn a_lie_costs_everything_and_fades() {
        let mut reputation = Reputation::default();
        let good = Observed {
            right: 1_000_000,
            answered: 1_000_000,
            places: 600_000.0,
            placed: 1_000_000,
            ..Observed::default()
        };
        reputation.add(&good);
        let before = reputation.score();
        assert!(before > 0.79, "{before}");
        reputation.convict();
        assert!(reputation.score() < 0.1 * before);
        reputation.fade(20 * HOUR, HOUR);
        assert!((reputation.correctness() - PRIOR_GOOD).abs() < 0.01);
    }

    proptest! {
        #[test]
        fn the_score_stays_in_bounds_and_the_order_of_reports_does_not_matter(
            seen in proptest::collection::vec((0u64..1_000, 0u64..1_000, 0u64..1_000, 0.0f64..1.0), 1..20),
        ) {
            let observed: Vec<Observed> = seen
                .into_iter()
                .map(|(right, wrong, failed, place)| Observed {
                    right,
                    wrong,
                    answered: right + wrong,
                    failed,
                    places: place * right as f64,
                    placed: right,
                })
                .collect();
            let (mut one, mut other) = (Reputation::default(), Reputation::default());
            observed.iter().for_each(|seen| one.add(seen));
            observed.iter().rev().for_each(|seen| other.add(seen));
            prop_assert!((one.score() - other.score()).abs() < 1e-9);
            prop_assert!((0.0..=1.0).contains(&one.score()));
            let mut better = one;
            better.add(&Observed { right: 1, ..Observed::default() });
            prop_assert!(better.score() >= one.score());
        }
    }
}
