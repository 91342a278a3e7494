//! The tables that a query can name, each at a version.

use arrow::datatypes::DataType;
use std::collections::BTreeMap;
use streamsync_core::{Level, RollupState, TableName};
use streamsync_lake::Table;

/// The newest known version of each table. Immutable: what a query reads does not change under it.
#[derive(Clone, Default)]
pub struct Catalog {
    tables: BTreeMap<TableName, Table>,
    /// The newest day of each table that is cut by days.
    newest_days: BTreeMap<TableName, i64>,
    /// What tables of rollups say of themselves.
    states: BTreeMap<TableName, RollupState>,
}

impl Catalog {
    /// A catalogue of tables.
    pub fn new(tables: impl IntoIterator<Item = Table>) -> Self {
        let tables = tables
            .into_iter()
            .map(|table| (table.name().clone(), table));
        Self {
            tables: tables.collect(),
            newest_days: BTreeMap::new(),
            states: BTreeMap::new(),
        }
    }

    /// Notes what a table of a rollup says of itself.
    pub fn set_rollup(&mut self, table: &TableName, state: RollupState) {
        self.states.insert(table.clone(), state);
    }

    /// What a table of a rollup says of itself.
    pub fn rollup(&self, table: &TableName) -> Option<&RollupState> {
        self.states.get(table)
    }

    /// The tables of a rollup by level, from fine to coarse.
    pub(crate) fn levels(&self, rollup: &str) -> BTreeMap<Level, (&TableName, &RollupState)> {
        let of = self.states.iter();
        of.filter(|(table, state)| {
            state.rollup.as_str() == rollup && self.tables.contains_key(*table)
        })
        .map(|(table, state)| (state.level, (table, state)))
        .collect()
    }

    /// Notes the newest day of a table.
    pub(crate) fn set_newest_day(&mut self, table: &TableName, newest: i64) {
        self.newest_days.insert(table.clone(), newest);
    }

    /// The newest day of a table that is cut by days.
    pub(crate) fn newest_day(&self, table: &TableName) -> Option<i64> {
        self.newest_days.get(table).copied()
    }

    /// The tables, sorted by name.
    pub fn tables(&self) -> impl Iterator<Item = &Table> {
        self.tables.values()
    }

    /// A table by name.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(name)
    }

    /// Whether there is a table of that name.
    pub fn contains(&self, name: &str) -> bool {
        self.tables.contains_key(name)
    }

    /// The name of a table, from text.
    pub(crate) fn name(&self, name: &str) -> Option<&TableName> {
        self.tables.get_key_value(name).map(|(name, _)| name)
    }

    /// The type of a table's column.
    pub(crate) fn column(&self, table: &TableName, column: &str) -> Option<DataType> {
        let schema = self.tables.get(table)?.schema();
        schema
            .field_with_name(column)
            .ok()
            .map(|field| field.data_type().clone())
    }

    /// What the client may have meant by a name that is no table's.
    pub(crate) fn suggestion(&self, name: &str) -> String {
        let similar = self
            .tables
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
