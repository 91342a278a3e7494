//! Money: whole base units of STRM.

use serde::{Deserialize, Serialize};
use std::fmt;

/// An amount of STRM in base units of 10^-9 STRM.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Amount(pub u64);

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// One STRM.
    pub const STRM: Self = Self(1_000_000_000);
}

/// In STRM, without needless zeros: `0.00001 STRM`.
impl fmt::Display for Amount {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, fraction) = (self.0 / Self::STRM.0, self.0 % Self::STRM.0);
        if fraction == 0 {
            return write!(formatter, "{whole} STRM");
        }
        let digits = format!("{fraction:09}");
        write!(formatter, "{whole}.{} STRM", digits.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    use super::Amount;

    #[test]
    fn amounts_read_as_strm() {
        for (units, text) in [
            (0, "0 STRM"),
            (1, "0.000000001 STRM"),
            (10_000, "0.00001 STRM"),
            (1_500_000_000, "1.5 STRM"),
            (u64::MAX, "18446744073.709551615 STRM"),
        ] {
            assert_eq!(Amount(units).to_string(), text);
        }
    }
}
