//! Why a statement is not raced.

use sqlparser::tokenizer::Span;
use std::fmt;
use streamsync_core::Level;

/// A place in the text of a statement, counted from 1.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Position {
    /// The line.
    pub line: u64,
    /// The column, in characters.
    pub column: u64,
}

impl Position {
    pub(super) fn of(span: Span) -> Option<Self> {
        let (line, column) = (span.start.line, span.start.column);
        (line > 0).then_some(Self { line, column })
    }
}

struct At<'a>(&'a Option<Position>);

impl fmt::Display for At<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(at) => write!(formatter, " (line {}, column {})", at.line, at.column),
            None => Ok(()),
        }
    }
}

/// A statement that is not raced, and why.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// It is no SQL.
    #[error("the statement cannot be parsed: {message}")]
    Unparsable {
        /// What the parser says.
        message: String,
        /// Where.
        position: Option<Position>,
    },
    /// It is too long.
    #[error(
        "the statement has {bytes} bytes; at most {} are taken",
        super::MAX_BYTES
    )]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It nests too deep.
    #[error("the statement nests too deep")]
    TooDeep,
    /// It is not one statement.
    #[error("there are {count} statements; a query is one SELECT")]
    Count {
        /// How many there are.
        count: usize,
    },
    /// It is not a `SELECT`.
    #[error("{what} is not answered; a query is one SELECT, which changes nothing")]
    NotASelect {
        /// What it is.
        what: String,
    },
    /// A table that is not in the lake.
    #[error("there is no table `{name}`{}{hint}", At(.position))]
    UnknownTable {
        /// The name.
        name: String,
        /// A similar name, if there is one.
        hint: String,
        /// Where.
        position: Option<Position>,
    },
    /// A level that a rollup does not have.
    #[error("rollup `{rollup}` has no level {level}; it has {levels}")]
    NoLevel {
        /// The rollup.
        rollup: String,
        /// The level that was asked for.
        level: Level,
        /// Those that it has.
        levels: String,
    },
    /// A level where there is no rollup.
    #[error("the level {level} is asked for, and the statement names no rollup")]
    NoRollup {
        /// The level that was asked for.
        level: Level,
    },
    /// A clause that is not answered.
    #[error("{what} is not allowed{}: {why}", At(.position))]
    Clause {
        /// The clause.
        what: String,
        /// Why not, and what to do.
        why: &'static str,
        /// Where.
        position: Option<Position>,
    },
    /// A function that is not allowed.
    #[error(
        "the function `{name}` is not allowed{}: a query may call what depends on nothing but its \
         arguments",
        At(.position)
    )]
    Function {
        /// The function.
        name: String,
        /// Where.
        position: Option<Position>,
    },
    /// An answer that would depend on the order in which a worker happens to read rows.
    #[error("{what} depends on the order of rows{}: {advice}", At(.position))]
    OrderDependent {
        /// The part of the statement.
        what: String,
        /// What to write instead.
        advice: &'static str,
        /// Where.
        position: Option<Position>,
    },
    /// Placeholders and parameters do not fit.
    #[error("{0}")]
    Parameters(String),
}

impl Refused {
    /// The stable name of the reason.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unparsable { .. } => "unparsable",
            Self::TooLong { .. } => "statement-too-long",
            Self::TooDeep => "statement-too-deep",
            Self::Count { .. } => "not-one-statement",
            Self::NotASelect { .. } => "not-a-select",
            Self::UnknownTable { .. } => "unknown-table",
            Self::NoLevel { .. } | Self::NoRollup { .. } => "unknown-level",
            Self::Clause { .. } => "clause-not-allowed",
            Self::Function { .. } => "function-not-allowed",
            Self::OrderDependent { .. } => "nondeterministic",
            Self::Parameters(_) => "parameter-count",
        }
    }

    /// Where in the text.
    pub fn position(&self) -> Option<Position> {
        match self {
            Self::Unparsable { position, .. }
            | Self::UnknownTable { position, .. }
            | Self::Clause { position, .. }
            | Self::Function { position, .. }
            | Self::OrderDependent { position, .. } => *position,
            _ => None,
        }
    }
}

/// The parser's message ends in ` at Line: 1, Column: 8`.
pub(super) fn unparsable(sql: &str, message: String) -> Refused {
    let position = message.rsplit_once(" at Line: ").and_then(|(_, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        Some(Position {
            line: line.parse().ok()?,
            column: column.parse().ok()?,
        })
    });
    let word = sql
        .split_whitespace()
        .next()
        .unwrap_or_default()
        .to_ascii_uppercase();
    // Statements that the parser does not know are no worse than those that it does.
    const OTHERS: [&str; 12] = [
        "ATTACH",
        "COPY",
        "INSTALL",
        "LOAD",
        "SET",
        "PRAGMA",
        "EXPORT",
        "IMPORT",
        "CALL",
        "CHECKPOINT",
        "DETACH",
        "FORCE",
    ];
    if OTHERS.contains(&word.as_str()) {
        return Refused::NotASelect { what: word };
    }
    Refused::Unparsable { message, position }
}
