//! What a bucket keeps old files as.

use serde::{Deserialize, Serialize};

/// A storage class of S3 whose objects can be read at once; those that have to be restored first
/// would make queries fail.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum StorageClass {
    /// Rarely read, in several zones.
    StandardIa,
    /// Rarely read, in one zone.
    OnezoneIa,
    /// Wherever S3 finds it cheapest.
    IntelligentTiering,
    /// Read a few times a year.
    GlacierIr,
    /// Kept with less redundancy; what some servers that speak S3 call their second class.
    ReducedRedundancy,
}

impl StorageClass {
    /// What S3 calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::StandardIa => "STANDARD_IA",
            Self::OnezoneIa => "ONEZONE_IA",
            Self::IntelligentTiering => "INTELLIGENT_TIERING",
            Self::GlacierIr => "GLACIER_IR",
            Self::ReducedRedundancy => "REDUCED_REDUNDANCY",
        }
    }
}
