//! One read-only statement, as DuckDB itself reads the text.
//!
//! The router has refused everything else already. The worker asks again, and asks the parser
//! that will run the text, so that no difference between two parsers lets a second statement in.

use duckdb::Connection;
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// Why a text is not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotOneSelect {
    /// DuckDB cannot parse it, or it is something other than `SELECT`.
    #[error("{0}")]
    Refused(String),
    /// There are several statements, or none.
    #[error("{0} statements; a query is one SELECT")]
    Count(usize),
    /// DuckDB could not be asked.
    #[error("could not ask DuckDB's parser")]
    Ask(#[from] duckdb::Error),
    /// DuckDB's answer could not be understood.
    #[error("could not read the answer of DuckDB's parser")]
    Answer(#[from] serde_json::Error),
}

/// A statement that may run.
pub(crate) struct Statement {
    /// As DuckDB's parser reads it.
    pub(crate) ast: Json,
    /// The columns that it may need.
    pub(crate) columns: Columns,
}

impl Statement {
    /// Whether its work is bounded by the rows of its tables: it makes no rows of its own.
    pub(crate) fn is_bounded(&self) -> bool {
        !holds_type(&self.ast, &["TABLE_FUNCTION", "RECURSIVE_CTE_NODE"])
    }
}

fn holds_type(node: &Json, types: &[&str]) -> bool {
    match node {
        Json::Array(nodes) => nodes.iter().any(|node| holds_type(node, types)),
        Json::Object(fields) => {
            let kind = fields.get("type").and_then(Json::as_str);
            kind.is_some_and(|kind| types.contains(&kind))
                || fields.values().any(|node| holds_type(node, types))
        }
        _ => false,
    }
}

/// Columns that a statement names.
pub(crate) enum Columns {
    /// All of them.
    All,
    /// These at most, in lower case.
    Named(BTreeSet<String>),
}

/// Checks that DuckDB reads exactly one `SELECT` in the text.
pub(crate) fn check(
    connection: &Connection,
    sql: &str,
    _tables: &BTreeSet<String>,
) -> Result<Statement, NotOneSelect> {
    let parsed: String = connection.query_row(
        "SELECT json_serialize_sql(CAST($1 AS VARCHAR))::VARCHAR",
        [sql],
        |row| row.get(0),
    )?;
    let parsed: Json = serde_json::from_str(&parsed)?;
    if parsed["error"] != Json::Bool(false) {
        let message = parsed["error_message"]
            .as_str()
            .unwrap_or("not a statement");
        return Err(NotOneSelect::Refused(message.to_owned()));
    }
    match parsed["statements"].as_array().map_or(0, Vec::len) {
        1 => Ok(Statement {
            ast: parsed,
            columns: Columns::All,
        }),
        count => Err(NotOneSelect::Count(count)),
    }
}
