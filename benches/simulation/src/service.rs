//! How long a worker takes.

use rand::Rng;
use std::{path::Path, time::Duration};

/// Quantiles of the time that one execution of a lookup takes, in microseconds: (share of
/// executions, time). Between two of them it is interpolated.
///
/// Measured by `bench-router --service-times`: 5,000 lookups by signature, one after the other, over
/// HTTP/2 and loopback to one worker on two shared cores. The client's own time is in it, so a
/// worker is rather faster.
const MEASURED: [(f64, f64); 6] = [
    (0.0, 718.0),
    (0.5, 855.0),
    (0.9, 1_044.0),
    (0.99, 1_695.0),
    (0.999, 5_084.0),
    (1.0, 8_861.0),
];

/// Service times, drawn from what was measured.
pub enum ServiceTimes {
    /// Quantiles.
    Quantiles,
    /// Single times in microseconds.
    Samples(Vec<f64>),
}

impl ServiceTimes {
    /// From a file with a JSON array of microseconds, or those that were measured before.
    pub fn load(file: Option<&Path>) -> Result<Self, Box<dyn std::error::Error>> {
        let Some(file) = file else {
            return Ok(Self::Quantiles);
        };
        let samples: Vec<f64> = serde_json::from_slice(&std::fs::read(file)?)?;
        if samples.is_empty() {
            return Err(format!("{} holds no service times", file.display()).into());
        }
        Ok(Self::Samples(samples))
    }

    /// One service time.
    pub fn draw(&self, random: &mut impl Rng) -> Duration {
        let micros = match self {
            Self::Samples(samples) => samples[random.random_range(0..samples.len())],
            Self::Quantiles => {
                let share: f64 = random.random();
                let above = MEASURED.iter().position(|(until, _)| share < *until);
                let above = above.unwrap_or(MEASURED.len() - 1);
                let (from, low) = MEASURED[above - 1];
                let (to, high) = MEASURED[above];
                low + (high - low) * (share - from) / (to - from)
            }
        };
        Duration::from_nanos((micros * 1_000.0) as u64)
    }

    /// Their mean.
    pub fn mean(&self) -> Duration {
        let micros = match self {
            Self::Samples(samples) => samples.iter().sum::<f64>() / samples.len() as f64,
            Self::Quantiles => MEASURED
                .windows(2)
                .map(|pair| (pair[1].0 - pair[0].0) * (pair[0].1 + pair[1].1) / 2.0)
                .sum(),
        };
        Duration::from_nanos((micros * 1_000.0) as u64)
    }
}
