//! How queries are raced, and what a worker's record is worth.

use crate::Class;
use serde::{Deserialize, Serialize};

/// The race, section `[race]`: who runs, and when.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RaceConfig {
    /// How many workers race for a query, 1 to 7.
    pub racers: usize,
    /// How many further workers must confirm the first answer in `quorum`, fewer than racers.
    pub confirmations: usize,
    /// The most workers that are asked for one query, those included that replace failed ones.
    pub most_asked: usize,
    /// How lookups are raced.
    pub lookup: Policy,
    /// How scans are raced.
    pub scan: Policy,
    /// How queries on days long past are raced.
    pub archive: Policy,
    /// How long a racer whose rows are wanted may send nothing before another's are taken, in
    /// milliseconds, at the most; ten times what races of the class lately took, if that is less.
    pub stall_ms: u64,
    /// The share of racers that are chosen at random, 0 to 0.5, so that workers without a record
    /// get one.
    pub exploration: f64,
    /// The exponent of a worker's stake in its weight.
    pub stake_exponent: f64,
    /// The exponent of a worker's reputation in its weight.
    pub reputation_exponent: f64,
    /// After how many seconds what a worker did counts half.
    pub reputation_half_life_s: u64,
    /// For how many seconds a worker that lied is not asked; twice as long the second time, and so
    /// on.
    pub exclusion_s: u64,
    /// Days before the newest one after which a day is long past.
    pub archive_after_days: u32,
}

/// When the workers of a race start.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// All at once.
    #[default]
    Full,
    /// As many as have to agree; the rest when one fails or disagrees, or when the race takes
    /// longer than 19 in 20 lately did.
    Hedged,
}

impl Default for RaceConfig {
    fn default() -> Self {
        Self {
            racers: 5,
            confirmations: 2,
            most_asked: 15,
            lookup: Policy::Full,
            scan: Policy::Hedged,
            archive: Policy::Hedged,
            stall_ms: 1_000,
            exploration: 0.03,
            stake_exponent: 0.5,
            reputation_exponent: 2.0,
            reputation_half_life_s: 6 * 3_600,
            exclusion_s: 3_600,
            archive_after_days: 30,
        }
    }
}

impl RaceConfig {
    /// How queries of a class are raced.
    pub fn policy(&self, class: Class) -> Policy {
        match class {
            Class::Lookup => self.lookup,
            Class::Scan => self.scan,
            Class::Archive => self.archive,
        }
    }

    /// How many workers have to agree in `quorum`.
    pub fn quorum(&self) -> usize {
        1 + self.confirmations
    }

    pub(super) fn faults(&self, faults: &mut Vec<String>) {
        if !(1..=7).contains(&self.racers) {
            faults.push(format!("race.racers is {}; it must be 1 to 7", self.racers));
        }
        if self.confirmations >= self.racers {
            faults.push(format!(
                "race.confirmations is {}; it must be less than race.racers, {}",
                self.confirmations, self.racers
            ));
        }
        if !(self.racers..=50).contains(&self.most_asked) {
            faults.push(format!(
                "race.most_asked is {}; it must be race.racers, {}, to 50",
                self.most_asked, self.racers
            ));
        }
        for (name, value, most) in [
            ("exploration", self.exploration, 0.5),
            ("stake_exponent", self.stake_exponent, 4.0),
            ("reputation_exponent", self.reputation_exponent, 8.0),
        ] {
            if !(0.0..=most).contains(&value) {
                faults.push(format!("race.{name} is {value}; it must be 0 to {most}"));
            }
        }
        for (name, value) in [
            ("stall_ms", self.stall_ms),
            ("reputation_half_life_s", self.reputation_half_life_s),
            ("exclusion_s", self.exclusion_s),
        ] {
            if value == 0 {
                faults.push(format!("race.{name} is 0; it must be at least 1"));
            }
        }
    }
}
