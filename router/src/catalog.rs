//! The tables that a query can name, each at a version.

use arrow::datatypes::DataType;
use std::collections::BTreeMap;
use streamsync_core::TableName;
use streamsync_lake::Table;

/// The newest known version of each table. Immutable: what a query reads does not change under it.
#[derive(Clone, Default)]
pub struct Catalog(BTreeMap<TableName, Table>);

impl Catalog {
    /// A catalogue of tables.
    pub fn new(tables: impl IntoIterator<Item = Table>) -> Self {
        Self(
            tables
                .into_iter()
                .map(|table| (table.name().clone(), table))
                .collect(),
        )
    }

    /// The tables, sorted by name.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.0.values()
    }

    /// A table by name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.0.get(name)
    }

    /// Whether there is a table of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// The name of a table, from text.
    pub(crate) fn name(&self, name: &str) -> Option<&TableName> {
        self.0.get_key_value(name).map(|(name, _)| name)
    }

    /// The type of a table's column.
    pub(crate) fn column(&self, table: &TableName, column: &str) -> Option<DataType> {
        let schema = self.0.get(table)?.schema();
        schema
            .field_with_name(column)
            .ok()
            .map(|field| field.data_type().clone())
    }

    /// What the client may have meant by a name that is no table's.
    pub(crate) fn suggestion(&self, name: &str) -> String {
        let similar = self
            .0
            .keys()
            .map(|known| (strsim::jaro_winkler(known.as_str(), name), known))
            .max_by(|one, other| one.0.total_cmp(&other.0));
        match similar {
            Some((similarity, known)) if similarity > 0.8 => format!("; did you mean `{known}`?"),
            Some(_) => "; GET /v1/tables lists them".to_owned(),
            None => "; the lake has no tables yet".to_owned(),
        }
    }
}
