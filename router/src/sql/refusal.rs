//! Why a statement is not raced.

use super::parse::{MAX_BYTES, MAX_CHAIN, MAX_DEPTH};
use sqlparser::tokenizer::{Location, Span};
use std::fmt;

/// A place in the text of a statement, counted from 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

impl Position {
    /// Where a part of the statement begins, if the parser kept that.
    pub(super) fn of(span: Span) -> Option<Self> {
        Self::at(span.start)
    }

    pub(super) fn at(location: Location) -> Option<Self> {
        let Location { line, column } = location;
        (line > 0).then_some(Self { line, column })
    }
}

/// ` (line 1, column 8)`, or nothing.
struct Place<'a>(&'a Option<Position>);

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(Position { line, column }) => {
                write!(formatter, " (line {line}, column {column})")
            }
            None => Ok(()),
        }
    }
}

/// A statement that is not raced, and why. [`RefusedSql::kind`] is stable, the wording is not.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RefusedSql {
    /// It is no SQL, or SQL that is not understood.
    #[error("the statement cannot be parsed{}: {message}", Place(.position))]
    Unparsable {
        /// What is wrong.
        message: String,
        /// Where.
        position: Option<Position>,
    },
    /// It is too long.
    #[error("the statement has {bytes} bytes; at most {MAX_BYTES} are taken")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It nests too deep, or chains too many operators.
    #[error(
        "the statement nests too deep{}: at most {MAX_DEPTH} levels, and at most {MAX_CHAIN} \
         operators that depend on one another, are taken; long lists belong in IN (…)",
        Place(.position)
    )]
    TooDeep {
        /// Where, if that is known.
        position: Option<Position>,
    },
    /// It is more than one statement.
    #[error("a second statement begins{}: a query is one SELECT", Place(.position))]
    ManyStatements {
        /// Where the second one begins.
        position: Option<Position>,
    },
    /// It is something other than a `SELECT`.
    #[error("{what} is not answered{}: a query is one read-only SELECT", Place(.position))]
    NotASelect {
        /// What it is.
        what: String,
        /// Where.
        position: Option<Position>,
    },
    /// A table that is not in the lake.
    #[error("there is no table `{name}`{}{hint}", Place(.position))]
    UnknownTable {
        /// The name.
        name: String,
        /// What to do instead, beginning with `; `.
        hint: String,
        /// Where.
        position: Option<Position>,
    },
    /// A column that its table has not.
    #[error("table `{table}` has no column `{name}`{}{hint}", Place(.position))]
    UnknownColumn {
        /// The name.
        name: String,
        /// The table.
        table: String,
        /// What to do instead, beginning with `; `.
        hint: String,
        /// Where.
        position: Option<Position>,
    },
    /// A function that is not allowed.
    #[error("the function `{name}` is not allowed{}: {advice}", Place(.position))]
    Function {
        /// The function.
        name: String,
        /// What to do instead.
        advice: String,
        /// Where.
        position: Option<Position>,
    },
    /// A function that is not allowed where a table stands.
    #[error(
        "the table function `{name}` is not allowed{}: a query reads tables of the lake; of table \
         functions it may call range, generate_series and unnest",
        Place(.position)
    )]
    TableFunction {
        /// The function.
        name: String,
        /// Where.
        position: Option<Position>,
    },
    /// A part whose result two workers could disagree on.
    #[error("{what} does not have one answer{}: {advice}", Place(.position))]
    Nondeterministic {
        /// The part of the statement.
        what: String,
        /// What to write instead.
        advice: String,
        /// Where.
        position: Option<Position>,
    },
    /// A clause that is not answered.
    #[error("{what} is not allowed{}: {advice}", Place(.position))]
    Clause {
        /// The clause.
        what: String,
        /// What to write instead, or why not.
        advice: String,
        /// Where.
        position: Option<Position>,
    },
    /// Placeholders and parameters do not fit.
    #[error("{message}{}", Place(.position))]
    Parameters {
        /// What does not fit.
        message: String,
        /// Where, if one placeholder is at fault.
        position: Option<Position>,
    },
}

impl RefusedSql {
    /// The stable name of the reason.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unparsable { .. } => "parse",
            Self::TooLong { .. } => "too-long",
            Self::TooDeep { .. } => "too-deep",
            Self::ManyStatements { .. } => "multiple-statements",
            Self::NotASelect { .. } => "not-a-select",
            Self::UnknownTable { .. } => "unknown-table",
            Self::UnknownColumn { .. } => "unknown-column",
            Self::Function { .. } => "function-not-allowed",
            Self::TableFunction { .. } => "table-function-not-allowed",
            Self::Nondeterministic { .. } => "nondeterministic",
            Self::Clause { .. } => "clause-not-allowed",
            Self::Parameters { .. } => "parameter-count",
        }
    }

    /// Where in the client's text, where that is known.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::TooLong { .. } => None,
            Self::Unparsable { position, .. }
            | Self::TooDeep { position }
            | Self::ManyStatements { position }
            | Self::NotASelect { position, .. }
            | Self::UnknownTable { position, .. }
            | Self::UnknownColumn { position, .. }
            | Self::Function { position, .. }
            | Self::TableFunction { position, .. }
            | Self::Nondeterministic { position, .. }
            | Self::Clause { position, .. }
            | Self::Parameters { position, .. } => *position,
        }
    }

    pub(super) fn clause(what: &str, advice: &str, span: Span) -> Self {
        Self::Clause {
            what: what.to_owned(),
            advice: advice.to_owned(),
            position: Position::of(span),
        }
    }

    pub(super) fn nondeterministic(what: impl Into<String>, advice: &str, span: Span) -> Self {
        Self::Nondeterministic {
            what: what.into(),
            advice: advice.to_owned(),
            position: Position::of(span),
        }
    }
}
