//! One read-only statement, as DuckDB itself reads the text, that reaches nothing but the tables
//! of its query.
//!
//! The router has refused everything else already. The worker asks again, and asks the parser
//! that will run the text, so that no difference between two parsers, and no router, lets a
//! statement reach files, settings or other queries.

mod guard;

use duckdb::Connection;
use guard::Guard;
use serde_json::Value as Json;
use std::collections::BTreeSet;

/// The longest text that is looked at: twice what the router takes, whose rewriting makes texts
/// longer.
const MAX_BYTES: usize = 512 << 10;

/// Why a text is not run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotOneSelect {
    /// DuckDB cannot parse it, or it is something other than `SELECT`.
    #[error("{0}")]
    Refused(String),
    /// There are several statements, or none.
    #[error("{0} statements; a query is one SELECT")]
    Count(usize),
    /// It is too long to be looked at.
    #[error("the statement has {0} bytes; the longest that is taken has {MAX_BYTES}")]
    TooLong(usize),
    /// It is too deep to be looked at.
    #[error("the statement is nested too deeply")]
    TooDeep,
    /// It names something that a query does not reach.
    #[error("{0}")]
    OutOfReach(#[from] guard::OutOfReach),
    /// DuckDB could not be asked.
    #[error("could not ask DuckDB's parser")]
    Ask(#[from] duckdb::Error),
}

/// A statement that may run.
pub(crate) struct Statement {
    /// As DuckDB's parser reads it.
    pub(crate) ast: Json,
    /// The columns that it may need.
    pub(crate) columns: Columns,
    /// Whether its work is bounded by the rows of its tables: it makes no rows of its own.
    pub(crate) bounded: bool,
}

/// Columns that a statement names.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Columns {
    /// All of them.
    All,
    /// These at most, in lower case.
    Named(BTreeSet<String>),
}

/// Checks that DuckDB reads exactly one `SELECT` in the text, and that it reaches nothing but these
/// tables.
pub(crate) fn check(
    connection: &Connection,
    sql: &str,
    tables: &BTreeSet<String>,
) -> Result<Statement, NotOneSelect> {
    if sql.len() > MAX_BYTES {
        return Err(NotOneSelect::TooLong(sql.len()));
    }
    let parsed: String = connection.query_row(
        "SELECT json_serialize_sql(CAST($1 AS VARCHAR))::VARCHAR",
        [sql],
        |row| row.get(0),
    )?;
    // DuckDB's own JSON is well formed; it can only be deeper than is read.
    let ast: Json = serde_json::from_str(&parsed).map_err(|_| NotOneSelect::TooDeep)?;
    if ast["error"] != Json::Bool(false) {
        let message = ast["error_message"].as_str().unwrap_or("not a statement");
        return Err(NotOneSelect::Refused(message.to_owned()));
    }
    match ast["statements"].as_array().map_or(0, Vec::len) {
        1 => {}
        count => return Err(NotOneSelect::Count(count)),
    }
    let mut guard = Guard::new(tables);
    guard.check(&ast["statements"])?;
    Ok(Statement {
        columns: guard.columns(),
        bounded: guard.bounded,
        ast,
    })
}

#[cfg(test)]
mod tests;
