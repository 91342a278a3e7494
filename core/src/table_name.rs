//! Names of tables.

use serde::{Deserialize, Serialize};
use std::{borrow::Borrow, fmt, str::FromStr};

/// The name of a table in the lake: lowercase letters, digits and underscores, beginning with a
/// letter, at most 64 bytes. It is safe in a path and, unquoted, in SQL.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TableName(String);

/// A name that no table can have.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a table name: use 1 to 64 of a-z, 0-9 and _, beginning with a letter")]
pub struct InvalidTableName(String);

impl TableName {
    /// Checks and takes a name.
    pub fn new(name: impl Into<String>) -> Result<Self, InvalidTableName> {
        let name = name.into();
        let valid = name.len() <= 64
            && name.starts_with(|first: char| first.is_ascii_lowercase())
            && name
                .chars()
                .all(|each| each.is_ascii_lowercase() || each.is_ascii_digit() || each == '_');
        if valid {
            Ok(Self(name))
        } else {
            Err(InvalidTableName(name))
        }
    }

    /// A name that stands in the code, where a test has checked it.
    pub(crate) fn known(name: &str) -> Self {
        debug_assert!(Self::new(name).is_ok());
        Self(name.to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl Borrow<str> for TableName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl FromStr for TableName {
    type Err = InvalidTableName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl TryFrom<String> for TableName {
    type Error = InvalidTableName;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::new(name)
    }
}

impl From<TableName> for String {
    fn from(name: TableName) -> Self {
        name.0
    }
}
