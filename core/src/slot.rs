//! Slots: the key of everything on the chain.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// The number of a Solana slot: a turn of about 400 ms in which one leader may make one block.
///
/// A slot without a block is a *skipped* slot, so slots that follow each other in the chain need
/// not be consecutive numbers. Kept below 2^63, because Delta tables have no unsigned integers.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Slot(pub u64);

impl Slot {
    /// The slot as the signed integer that tables hold. Slots over 2^63 - 1 saturate; the chain
    /// would need 10^11 years to reach one.
    pub fn as_i64(self) -> i64 {
        i64::try_from(self.0).unwrap_or(i64::MAX)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl From<u64> for Slot {
    fn from(slot: u64) -> Self {
        Self(slot)
    }
}

impl FromStr for Slot {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
