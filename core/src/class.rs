//! What kind of work a query is.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What kind of work a query is: it decides which workers suit it, and how they race.
#[derive(
    Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// It asks every table for few rows by the key that the table is sorted by.
    Lookup,
    /// It reads many rows.
    #[default]
    Scan,
    /// It reads only days that are long past, which few workers keep at hand.
    Archive,
}

impl Class {
    /// All of them, in the order of [`Class::index`].
    pub const ALL: [Self; 3] = [Self::Lookup, Self::Scan, Self::Archive];

    /// Its place in [`Class::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// Its name, as in metrics and configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lookup => "lookup",
            Self::Scan => "scan",
            Self::Archive => "archive",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}
