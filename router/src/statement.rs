//! What a client may ask: one read-only, deterministic `SELECT` over tables of the lake.
//!
//! The text is parsed, checked against lists of what is allowed, made deterministic where that
//! can be done, and written anew from the parsed form, so that workers run what was checked.

mod allowed;
mod constraint;
mod level;
mod literal;
mod ordering;
mod refusal;

pub use refusal::{Position, Refused};

use crate::Catalog;
use sqlparser::{
    ast::{Query, Statement, VisitMut},
    dialect::DuckDbDialect,
    parser::{Parser, ParserError},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};
use streamsync_core::{Level, Parameter, TableName};
use streamsync_lake::Constraint;

/// The longest statement, in bytes.
pub const MAX_BYTES: usize = 256 << 10;

/// How deep a statement may nest.
const MAX_DEPTH: usize = 64;

/// A statement that may be raced.
#[derive(Clone, Debug)]
pub struct Analysed {
    /// The text for the workers.
    pub sql: String,
    /// The values of its placeholders: the client's, then those of literals.
    pub parameters: Vec<Parameter>,
    /// The tables that it reads.
    pub tables: BTreeSet<TableName>,
    /// For each table, conditions that all rows meet that matter for the answer.
    pub constraints: BTreeMap<TableName, Vec<Constraint>>,
    /// Whether the order of the rows is part of the answer.
    pub ordered: bool,
    /// The rollups that it names, and the level of each that it is answered from.
    pub levels: BTreeMap<TableName, Level>,
}

/// Analyses a statement with its parameters against the tables there are.
///
/// ```
/// use streamsync_router::{Catalog, analyse};
/// let statement = analyse("select 1 limit 5", &Catalog::default(), &[]).unwrap();
/// assert_eq!(statement.sql, "SELECT 1 ORDER BY ALL LIMIT 5");
/// let refused = analyse("select random()", &Catalog::default(), &[]).unwrap_err();
/// assert_eq!(refused.kind(), "function-not-allowed");
/// ```
pub fn analyse(
    sql: &str,
    catalog: &Catalog,
    parameters: &[Parameter],
) -> Result<Analysed, Refused> {
    analyse_at(sql, catalog, parameters, None)
}

/// As [`analyse`], with the level of the rollups that the statement names.
pub(crate) fn analyse_at(
    sql: &str,
    catalog: &Catalog,
    parameters: &[Parameter],
    level: Option<Level>,
) -> Result<Analysed, Refused> {
    let mut query = parse(sql)?;
    let levels = level::choose(&mut query, catalog, level, parameters)?;
    let found = allowed::check(&query, catalog)?;
    found.placeholders.check(parameters)?;
    let constraints = constraint::collect(&query, catalog, parameters, &found.references);
    if let ControlFlow::Break(refused) = query.visit(&mut ordering::Totally) {
        return Err(refused);
    }
    let ordered = ordering::order_whole(&mut query)?;
    let mut parameters = parameters.to_vec();
    // `?` and `$1` cannot stand in one statement.
    if !found.placeholders.are_unnumbered() {
        literal::lift(&mut query, catalog, &mut parameters);
    }
    Ok(Analysed {
        sql: query.to_string(),
        parameters,
        tables: found.references.into_keys().collect(),
        constraints,
        ordered,
        levels,
    })
}

fn parse(sql: &str) -> Result<Box<Query>, Refused> {
    if sql.len() > MAX_BYTES {
        return Err(Refused::TooLong { bytes: sql.len() });
    }
    let statements = Parser::new(&DuckDbDialect {})
        .with_recursion_limit(MAX_DEPTH)
        .try_with_sql(sql)
        .and_then(|mut parser| parser.parse_statements());
    let mut statements = match statements {
        Ok(statements) => statements,
        Err(ParserError::RecursionLimitExceeded) => return Err(Refused::TooDeep),
        Err(ParserError::ParserError(message) | ParserError::TokenizerError(message)) => {
            return Err(refusal::unparsable(sql, message));
        }
    };
    match (statements.pop(), statements.len()) {
        (None, _) => Err(Refused::Count { count: 0 }),
        (Some(Statement::Query(query)), 0) => Ok(query),
        (Some(other), 0) => Err(Refused::NotASelect {
            what: first_words(&other.to_string()),
        }),
        (Some(_), more) => Err(Refused::Count { count: more + 1 }),
    }
}

fn first_words(statement: &str) -> String {
    statement
        .split_whitespace()
        .take(1)
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
pub(crate) mod tests;
