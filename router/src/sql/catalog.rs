//! The tables and columns that a statement can name.

use arrow::datatypes::{DataType, SchemaRef};
use std::collections::BTreeMap;
use streamsync_core::TableName;

/// The schema of each table of the lake.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    tables: BTreeMap<TableName, SchemaRef>,
}

impl Catalog {
    /// A catalogue of tables with their columns, partition columns included.
    pub fn new(tables: impl IntoIterator<Item = (TableName, SchemaRef)>) -> Self {
        Self {
            tables: tables.into_iter().collect(),
        }
    }

    /// The table that a name in a statement stands for; case does not count.
    pub(super) fn table(&self, name: &str) -> Option<(&TableName, &SchemaRef)> {
        self.tables
            .get_key_value(name.to_ascii_lowercase().as_str())
    }

    /// The type of a table's column; case does not count.
    pub(super) fn column(&self, table: &TableName, column: &str) -> Option<&DataType> {
        let mut fields = self.tables.get(table)?.fields().iter();
        fields
            .find(|field| field.name().eq_ignore_ascii_case(column))
            .map(|field| field.data_type())
    }

    /// What the client may have meant by a name that is no table's, beginning with `; `.
    pub(super) fn similar_table(&self, name: &str) -> String {
        match similar(name, self.tables.keys().map(TableName::as_str)) {
            Some(known) => format!("; did you mean `{known}`?"),
            None if self.tables.is_empty() => "; the lake has no tables yet".to_owned(),
            None => {
                let names: Vec<&str> = self.tables.keys().map(TableName::as_str).collect();
                format!("; the lake has {}", names.join(", "))
            }
        }
    }

    /// What the client may have meant by a name that is no column's, beginning with `; `.
    pub(super) fn similar_column(&self, table: &TableName, name: &str) -> String {
        let fields = self.tables.get(table).into_iter();
        let names = fields.flat_map(|schema| schema.fields().iter().map(|field| field.name()));
        match similar(name, names.map(String::as_str)) {
            Some(known) => format!("; did you mean `{known}`?"),
            None => String::new(),
        }
    }
}

impl From<&crate::Catalog> for Catalog {
    fn from(catalog: &crate::Catalog) -> Self {
        let tables = catalog.tables();
        Self::new(tables.map(|table| (table.name().clone(), table.schema())))
    }
}

/// The candidate that is most like a name, if one is much like it.
pub(super) fn similar<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a str>,
) -> Option<&'a str> {
    const ALIKE: f64 = 0.85;
    let name = name.to_ascii_lowercase();
    candidates
        .map(|candidate| (strsim::jaro_winkler(candidate, &name), candidate))
        .filter(|(alike, _)| *alike >= ALIKE)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, candidate)| candidate)
}
