//! Partitions: the unit of caching and of assignment.

use crate::TableName;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, fmt};

/// Values of a table's partition columns, by column name, as Delta writes them: text, with
/// `None` for NULL. `{"date": "2024-03-14"}`, `{"bucket": "7"}`.
pub type PartitionValues = BTreeMap<String, Option<String>>;

/// One table and one set of partition values: the unit in which workers pull and cache data.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Partition {
    /// The table.
    pub table: TableName,
    /// The values of its partition columns.
    pub values: PartitionValues,
}

impl fmt::Display for Partition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.table.fmt(formatter)?;
        for (column, value) in &self.values {
            write!(
                formatter,
                "/{column}={}",
                value.as_deref().unwrap_or("NULL")
            )?;
        }
        Ok(())
    }
}
