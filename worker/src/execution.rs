//! Running one query on DuckDB: rows, their digest, and what can go wrong.

use crate::{
    Busy, FetchTableError, LoadError,
    cancellation::Interruptible,
    engine::Session,
    scan::TableScan,
    statement::Statement,
    table_source::{self, Source},
};
use arrow::{array::RecordBatch, datatypes::SchemaRef};
use duckdb::{
    params_from_iter,
    types::{TimeUnit, Value},
};
use std::{sync::Arc, time::Duration};
use streamsync_core::{
    DigestBuilder, DigestError, Outcome, Parameter, Query, Refusal, SignedAnswer, TableName,
};

/// An answer with its rows.
#[derive(Debug)]
pub struct Answer {
    /// What the worker vouches for.
    pub signed: SignedAnswer,
    /// The columns.
    pub schema: SchemaRef,
    /// The rows.
    pub batches: Vec<RecordBatch>,
    /// How long the query waited for a place to run.
    pub queued: Duration,
}

/// Why a query has no rows.
#[derive(Debug, thiserror::Error)]
pub enum ExecuteError {
    /// The worker has enough to do.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The query is at fault, and the worker vouches for that.
    #[error("{detail}")]
    Refused {
        /// The signed refusal.
        signed: Box<SignedAnswer>,
        /// What is wrong with the query, in DuckDB's words.
        detail: String,
    },
    /// The time that the router gave is over, or the router went away.
    #[error("the query was stopped: its time was over, or its caller went away")]
    Stopped,
    /// DuckDB has not enough memory for it.
    #[error("the query needs more memory than the worker has: {0}")]
    OutOfMemory(String),
    /// A table of the snapshot could not be opened, or its files listed.
    #[error("could not open table {table} at version {version}")]
    Table {
        /// The table.
        table: TableName,
        /// Its version.
        version: u64,
        /// Why.
        source: Arc<FetchTableError>,
    },
    /// A file could not be brought into the cache.
    #[error("could not load table {table}")]
    Load {
        /// The table.
        table: TableName,
        /// Why.
        source: Arc<LoadError>,
    },
    /// DuckDB failed in a way that is not the query's fault.
    #[error("DuckDB failed: {0}")]
    Engine(String),
    /// The query's thread ended early.
    #[error("the query was broken off")]
    BrokenOff(#[from] tokio::task::JoinError),
}

/// What running a query on a session came to, before it is signed.
pub(crate) enum Found {
    Rows {
        outcome: Outcome,
        schema: SchemaRef,
        batches: Vec<RecordBatch>,
    },
    Refused(Refusal, String),
}

/// What a query sees under the name of a table.
pub(crate) enum Shown {
    /// Rows that the worker gives.
    Given(TableName, Source),
    /// Copies on the disk, and rows that the worker gives.
    Scanned(Arc<TableScan>, Source),
}

impl Shown {
    /// The name of the table, the text of its view in a session, and the rows behind that.
    fn view(self, session: u64) -> (TableName, String, Source) {
        match self {
            Self::Given(table, source) => {
                let view = table_source::view(session, &table, &source.schema);
                (table, view, source)
            }
            Self::Scanned(scan, source) => (scan.table.name().clone(), scan.view(session), source),
        }
    }
}

/// Runs a query on a session, on this thread.
pub(crate) fn run(
    session: &mut Session,
    query: &Query,
    statement: &Statement,
    shown: Vec<Shown>,
    interruptible: &Interruptible,
) -> Result<Found, ExecuteError> {
    let _running = interruptible.begin(session.connection.interrupt_handle());
    let once = shown.iter().all(|one| matches!(one, Shown::Given(..)));
    let mut schemas = Vec::with_capacity(shown.len());
    for one in shown {
        let (table, view, source) = one.view(session.number);
        schemas.push(Arc::clone(&source.schema));
        session.sources.set(table.as_str(), source);
        if let Err(error) = session.show(table.as_str(), view) {
            return failed(&error);
        }
    }
    session.parameters.set(&query.parameters);
    // A scan is planned for the values of its parameters: they choose the row groups that are read.
    let once = once
        .then(|| session.planned_once(query, statement, &schemas))
        .flatten();
    rows(session, query, once.as_deref()).or_else(|stop| match stop {
        Stop::Engine(error) => failed(&error),
        Stop::Refused(refusal, detail) => Ok(Found::Refused(refusal, detail)),
    })
}

enum Stop {
    Engine(duckdb::Error),
    Refused(Refusal, String),
}

impl From<duckdb::Error> for Stop {
    fn from(error: duckdb::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<DigestError> for Stop {
    fn from(error: DigestError) -> Self {
        Self::Refused(Refusal::InvalidQuery, error.to_string())
    }
}

/// Runs the query, or the text with which DuckDB plans it once for all values of its parameters.
fn rows(session: &Session, query: &Query, once: Option<&str>) -> Result<Found, Stop> {
    let once = once.and_then(|once| session.connection.prepare_cached(once).ok());
    let bound = if once.is_some() {
        &[][..]
    } else {
        &query.parameters
    };
    let mut statement = match once {
        Some(once) => once,
        None => session.connection.prepare_cached(&query.sql)?,
    };
    let _ = statement.stream_arrow(params_from_iter(bound.iter().map(value)))?;
    let schema = statement.schema();
    let mut digest = DigestBuilder::new(&schema, query.ordered)?;
    let (mut batches, mut bytes) = (Vec::new(), 0);
    // Not the iterator that `stream_arrow` returns: it panics where this returns the error.
    while let Some(rows) = statement.step()? {
        let batch = RecordBatch::from(&rows);
        digest.update(&batch)?;
        bytes += batch.get_array_memory_size() as u64;
        if digest.rows() > query.max_rows || bytes > query.max_bytes {
            let detail = format!(
                "the answer has more than {} rows or {} bytes; ask for less, with LIMIT or fewer \
                 columns",
                query.max_rows, query.max_bytes
            );
            return Err(Stop::Refused(Refusal::AnswerTooLarge, detail));
        }
        batches.push(batch);
    }
    let rows = digest.rows();
    let outcome = Outcome::Rows {
        digest: digest.finish(),
        rows,
    };
    Ok(Found::Rows {
        outcome,
        schema,
        batches,
    })
}

/// Whose fault an error of DuckDB is. Its message begins with its class.
pub(crate) fn failed(error: &duckdb::Error) -> Result<Found, ExecuteError> {
    let message = match error {
        duckdb::Error::DuckDBFailure(_, Some(message)) => message.clone(),
        other => other.to_string(),
    };
    let class = message.split(" Error:").next().unwrap_or_default();
    match class {
        "INTERRUPT" => Err(ExecuteError::Stopped),
        "Out of Memory" => Err(ExecuteError::OutOfMemory(message)),
        "Parser"
        | "Syntax"
        | "Binder"
        | "Catalog"
        | "Not implemented"
        | "Permission"
        | "Parameter Not Resolved"
        | "Parameter Not Allowed"
        | "Mismatch Type"
        | "Expression"
        | "Missing Extension" => Ok(Found::Refused(Refusal::InvalidQuery, message)),
        "Conversion" | "Out of Range" | "Invalid Input" | "Divide by Zero" | "Constraint"
        | "Decimal" | "Invalid type" => Ok(Found::Refused(Refusal::FailedOnData, message)),
        _ if matches!(error, duckdb::Error::InvalidParameterCount(..)) => {
            Ok(Found::Refused(Refusal::InvalidQuery, message))
        }
        _ => Err(ExecuteError::Engine(message)),
    }
}

fn value(parameter: &Parameter) -> Value {
    match parameter {
        Parameter::Null => Value::Null,
        Parameter::Boolean(value) => Value::Boolean(*value),
        Parameter::Integer(value) => {
            i64::try_from(*value).map_or(Value::HugeInt(*value), Value::BigInt)
        }
        Parameter::Double(value) => Value::Double(*value),
        Parameter::Text(text) => Value::Text(text.clone()),
        Parameter::Blob(bytes) => Value::Blob(bytes.clone()),
        Parameter::Date(days) => Value::Date32(*days),
        Parameter::Timestamp(micros) => Value::Timestamp(TimeUnit::Microsecond, *micros),
    }
}
