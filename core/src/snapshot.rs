//! Snapshots: the versions of the tables that a query reads.

use crate::TableName;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt, str::FromStr};

/// A Delta version for each table that a query reads, chosen once by the router. The same query
/// on the same snapshot has one answer, which is what makes answers comparable.
///
/// Its text form, used in headers and logs, is `blocks@3,transactions@17`, sorted by name.
///
/// ```
/// use streamsync_core::Snapshot;
/// let snapshot: Snapshot = "transactions@17,blocks@3".parse().unwrap();
/// assert_eq!(snapshot.to_string(), "blocks@3,transactions@17");
/// ```
#[derive(Clone, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Snapshot(BTreeMap<TableName, u64>);

/// Text that is not a snapshot.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a snapshot: write table@version, separated by commas")]
pub struct InvalidSnapshot(String);

impl Snapshot {
    /// The version of a table, if the snapshot has it.
    pub fn version(&self, table: &str) -> Option<u64> {
        self.0.get(table).copied()
    }

    /// The tables and their versions, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&TableName, u64)> {
        self.0.iter().map(|(table, version)| (table, *version))
    }

    /// The number of tables.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it names no table: a query over constants.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(TableName, u64)> for Snapshot {
    fn from_iter<I: IntoIterator<Item = (TableName, u64)>>(tables: I) -> Self {
        Self(tables.into_iter().collect())
    }
}

impl fmt::Display for Snapshot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (table, version)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(formatter, "{separator}{table}@{version}")?;
        }
        Ok(())
    }
}

impl FromStr for Snapshot {
    type Err = InvalidSnapshot;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.split(',')
            .filter(|part| !part.is_empty())
            .map(|part| {
                let (table, version) = part.split_once('@')?;
                Some((table.parse().ok()?, version.parse().ok()?))
            })
            .collect::<Option<BTreeMap<_, _>>>()
            .map(Self)
            .ok_or_else(|| InvalidSnapshot(text.to_owned()))
    }
}
