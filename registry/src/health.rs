//! Whether a worker is alive, told by the age of its last heartbeat.

use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// The state of a worker. Readers compute it; nobody writes another's state.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Health {
    /// It beats.
    Healthy,
    /// It missed three heartbeats: a last resort.
    Suspect,
    /// It missed five heartbeats: never chosen, until the next.
    Failed,
}

/// Missed heartbeats after which a worker is [`Health::Suspect`].
pub const SUSPECT_AFTER: u32 = 3;

/// Missed heartbeats after which a worker is [`Health::Failed`].
pub const FAILED_AFTER: u32 = 5;

impl Health {
    /// The state of a worker that last beat this long ago and should each `interval`.
    pub fn of(age: Duration, interval: Duration) -> Self {
        if age >= interval * FAILED_AFTER {
            Self::Failed
        } else if age >= interval * SUSPECT_AFTER {
            Self::Suspect
        } else {
            Self::Healthy
        }
    }
}

impl fmt::Display for Health {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Healthy => "healthy",
            Self::Suspect => "suspect",
            Self::Failed => "failed",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_missed_are_suspect_and_five_are_failed() {
        let health = |millis| Health::of(Duration::from_millis(millis), Duration::from_secs(1));
        assert_eq!(health(0), Health::Healthy);
        assert_eq!(health(2_999), Health::Healthy);
        assert_eq!(health(3_000), Health::Suspect);
        assert_eq!(health(4_999), Health::Suspect);
        assert_eq!(health(5_000), Health::Failed);
    }
}
