//! A query as the router hands it to its racers.

use crate::{Constraint, Parameter, Partition, QueryId, Snapshot, TableName};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A query, pinned: what a worker needs to answer it, and nothing that it could choose otherwise.
/// The body of `POST /v1/execute`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// Its name, in logs and in the signed answer.
    pub id: QueryId,
    /// One `SELECT`, made deterministic by the router.
    pub sql: String,
    /// Values of the placeholders `$1`, `$2`, ….
    #[serde(default)]
    pub parameters: Vec<Parameter>,
    /// The version of each table that it reads.
    pub snapshot: Snapshot,
    /// The partitions that can hold rows of the answer. Rows of other partitions of the
    /// snapshot's tables may be left out.
    pub partitions: Vec<Partition>,
    /// For each table, conditions that all rows meet that matter for the answer. Rows that do not
    /// meet them may be left out.
    #[serde(default)]
    pub constraints: BTreeMap<TableName, Vec<Constraint>>,
    /// Whether the order of the rows is part of the answer.
    pub ordered: bool,
    /// How long the answer may take from now, in milliseconds.
    pub time_left_ms: u64,
    /// The most rows that an answer may have.
    pub max_rows: u64,
    /// The most bytes that an answer may have, as Arrow in memory.
    pub max_bytes: u64,
}
