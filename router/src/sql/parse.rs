//! From text to one parsed query: limits of size and depth, one statement, and no other than a
//! `SELECT`.
//!
//! The limits are checked on tokens, before anything is built that recursion could run into.

use super::refusal::{Position, RefusedSql};
use sqlparser::{
    ast::{Query, Statement},
    dialect::DuckDbDialect,
    keywords::Keyword,
    parser::{Parser, ParserError},
    tokenizer::{Location, Token, TokenWithSpan, Tokenizer, TokenizerError, Word},
};

/// The longest statement, in bytes.
pub const MAX_BYTES: usize = 256 << 10;

/// How deep a statement may nest.
pub const MAX_DEPTH: usize = 50;

/// How many operators may depend on one another, as in `1 + 1 + 1`: what is parsed from them is as
/// deep as they are many. DuckDB's own limit is the same.
pub const MAX_CHAIN: usize = 1000;

/// Parses a statement that has to be one query.
pub(super) fn parse(sql: &str) -> Result<Box<Query>, RefusedSql> {
    if sql.len() > MAX_BYTES {
        return Err(RefusedSql::TooLong { bytes: sql.len() });
    }
    let tokens = Tokenizer::new(&DuckDbDialect {}, sql)
        .tokenize_with_location()
        .map_err(|error| malformed(error, sql))?;
    check(&tokens, end(sql))?;
    let parsed = Parser::new(&DuckDbDialect {})
        .with_recursion_limit(MAX_DEPTH)
        .with_tokens_with_locations(tokens)
        .parse_statements();
    let statement = match parsed {
        Ok(mut statements) => statements.pop(),
        Err(ParserError::RecursionLimitExceeded) => {
            return Err(RefusedSql::TooDeep { position: None });
        }
        Err(ParserError::ParserError(message) | ParserError::TokenizerError(message)) => {
            return Err(unparsable(message, sql));
        }
    };
    match statement {
        Some(Statement::Query(query)) => Ok(query),
        _ => Err(unparsable("it is not a SELECT".to_owned(), sql)),
    }
}

fn malformed(error: TokenizerError, sql: &str) -> RefusedSql {
    RefusedSql::Unparsable {
        message: error.message,
        position: Position::at(error.location).or_else(|| Position::at(end(sql))),
    }
}

/// The parser's message ends in ` at Line: 1, Column: 8`, except at the end of the text.
fn unparsable(message: String, sql: &str) -> RefusedSql {
    let place = message.rsplit_once(" at Line: ").and_then(|(what, place)| {
        let (line, column) = place.split_once(", Column: ")?;
        let (line, column) = (line.parse().ok()?, column.parse().ok()?);
        Some((what.to_owned(), Position { line, column }))
    });
    match place {
        Some((message, position)) => RefusedSql::Unparsable {
            message,
            position: Some(position),
        },
        None => RefusedSql::Unparsable {
            message,
            position: Position::at(end(sql)),
        },
    }
}

/// The place after the last character.
fn end(sql: &str) -> Location {
    let last = sql.rsplit('\n').next().unwrap_or_default();
    let line = sql.matches('\n').count() as u64 + 1;
    Location::new(line, last.chars().count() as u64 + 1)
}

fn check(tokens: &[TokenWithSpan], end: Location) -> Result<(), RefusedSql> {
    one_select(tokens, end)?;
    chains(tokens)?;
    tokens.windows(2).try_for_each(|pair| match pair {
        [one, next] => literals(one, next),
        _ => Ok(()),
    })
}

/// That there is one statement, which begins as a query does.
fn one_select(tokens: &[TokenWithSpan], end: Location) -> Result<(), RefusedSql> {
    let mut visible = tokens
        .iter()
        .filter(|token| !matches!(token.token, Token::Whitespace(_) | Token::EOF))
        .skip_while(|token| token.token == Token::SemiColon);
    let Some(first) = visible.clone().find(|token| token.token != Token::LParen) else {
        return Err(RefusedSql::Unparsable {
            message: "there is no statement".to_owned(),
            position: Position::at(end),
        });
    };
    if let Token::Word(word) = &first.token
        && let Some(what) = other_statement(word)
    {
        return Err(RefusedSql::NotASelect {
            what,
            position: Position::of(first.span),
        });
    }
    let second = visible
        .by_ref()
        .skip_while(|token| token.token != Token::SemiColon)
        .find(|token| token.token != Token::SemiColon);
    match second {
        Some(second) => Err(RefusedSql::ManyStatements {
            position: Position::of(second.span),
        }),
        None => Ok(()),
    }
}

/// What a statement is that begins with this word, if it is one of DuckDB's that is no query.
fn other_statement(word: &Word) -> Option<String> {
    const OTHERS: [&str; 47] = [
        "ABORT", "ALTER", "ANALYZE", "ATTACH", "BEGIN", "CALL", "CHECKPOINT", "COMMENT", "COMMIT",
        "COPY", "CREATE", "DEALLOCATE", "DELETE", "DESC", "DESCRIBE", "DETACH", "DROP", "EXECUTE",
        "EXPLAIN", "EXPORT", "FORCE", "GRANT", "IMPORT", "INSERT", "INSTALL", "LOAD", "MERGE",
        "PIVOT", "PIVOT_WIDER", "PRAGMA", "PREPARE", "REINDEX", "RENAME", "REPLACE", "RESET",
        "REVOKE", "ROLLBACK", "SET", "SHOW", "START", "SUMMARIZE", "TABLE", "TRUNCATE", "UNPIVOT",
        "UPDATE", "USE", "VACUUM",
    ];
    let name = word.value.to_ascii_uppercase();
    (word.quote_style.is_none() && OTHERS.contains(&name.as_str())).then_some(name)
}

/// Literals that the parser reads otherwise than DuckDB does.
fn literals(one: &TokenWithSpan, next: &TokenWithSpan) -> Result<(), RefusedSql> {
    let adjacent = one.span.end == next.span.start;
    let message = match (&one.token, &next.token) {
        (Token::Number(..), Token::Word(_)) if adjacent => {
            "a letter directly after a number; write numbers in decimal"
        }
        (Token::Word(word), Token::SingleQuotedString(_))
            if adjacent && word.quote_style.is_none() && word.value.len() == 1 =>
        {
            "a string with a prefix; write a plain string, in '…' or $$…$$"
        }
        (Token::HexStringLiteral(_), _) => {
            "a hexadecimal literal; write numbers in decimal, bytes as unhex('…')"
        }
        _ => return Ok(()),
    };
    Err(RefusedSql::Unparsable {
        message: message.to_owned(),
        position: Position::of(one.span),
    })
}

/// Operators inside one pair of brackets that depend on one another.
#[derive(Default)]
struct Chain {
    /// Since the last comma or clause.
    operators: usize,
    /// `UNION` and its like.
    set_operations: usize,
}

impl Chain {
    fn length(&self) -> usize {
        self.operators + self.set_operations
    }
}

/// That no chain of operators gets too long, counted over all brackets that are open.
fn chains(tokens: &[TokenWithSpan]) -> Result<(), RefusedSql> {
    let (mut outer, mut chain) = (Vec::new(), Chain::default());
    let mut total = 0;
    for token in tokens {
        match &token.token {
            Token::LParen | Token::LBracket | Token::LBrace => {
                chain.operators += 1;
                total += 1;
                outer.push(std::mem::take(&mut chain));
            }
            Token::RParen | Token::RBracket | Token::RBrace => {
                total -= chain.length();
                chain = outer.pop().unwrap_or_default();
            }
            Token::Comma => {
                total -= chain.operators;
                chain.operators = 0;
            }
            Token::Word(word) => match word.keyword {
                Keyword::NoKeyword => {}
                Keyword::UNION | Keyword::INTERSECT | Keyword::EXCEPT => {
                    chain.set_operations += 1;
                    total += 1;
                }
                keyword if begins_expression(keyword) => {
                    total -= chain.operators;
                    chain.operators = 0;
                }
                _ => {
                    chain.operators += 1;
                    total += 1;
                }
            },
            Token::Whitespace(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::DollarQuotedString(_)
            | Token::Placeholder(_)
            | Token::Period
            | Token::SemiColon
            | Token::EOF => {}
            _ => {
                chain.operators += 1;
                total += 1;
            }
        }
        if total > MAX_CHAIN {
            let position = Position::of(token.span);
            return Err(RefusedSql::TooDeep { position });
        }
    }
    Ok(())
}

/// Whether an expression after this word does not depend on the one before it.
fn begins_expression(keyword: Keyword) -> bool {
    matches!(
        keyword,
        Keyword::SELECT
            | Keyword::FROM
            | Keyword::WHERE
            | Keyword::GROUP
            | Keyword::HAVING
            | Keyword::QUALIFY
            | Keyword::ORDER
            | Keyword::LIMIT
            | Keyword::JOIN
            | Keyword::ON
            | Keyword::WHEN
            | Keyword::THEN
            | Keyword::ELSE
    )
}
