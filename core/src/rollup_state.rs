//! What a table of a rollup says of itself.

use crate::{Level, TableName, config::MeasureFunction};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The Delta metadata domain in which a table of a rollup keeps its [`RollupState`], as JSON.
pub const ROLLUP_DOMAIN: &str = "streamsync.rollup";

/// What a table of a rollup is, and how far it has come. It is committed together with the rows, so
/// that no row is counted twice or forgotten.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RollupState {
    /// The rollup.
    pub rollup: TableName,
    /// The time that one row stands for.
    pub level: Level,
    /// The tables that the rows come from, and the version of each that they were computed from.
    pub sources: BTreeMap<TableName, u64>,
    /// The columns that rows are grouped by, besides the time.
    pub group_by: Vec<String>,
    /// The other columns.
    pub columns: Vec<Recorded>,
}

/// A column of figures.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Recorded {
    /// Its name.
    pub name: String,
    /// How it was computed, and how several of them become one.
    pub function: MeasureFunction,
}
