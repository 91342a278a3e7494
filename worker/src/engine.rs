//! DuckDB, locked down: the databases of a worker and their sessions.

use crate::{
    parameter::{self, Parameters},
    shape,
    statement::Statement,
    table_source::{self, Sources},
};
use arrow::datatypes::SchemaRef;
use duckdb::{Config, Connection};
use lru::LruCache;
use std::{
    mem::Discriminant,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};
use streamsync_core::{Parameter, Query};

/// How many prepared statements a session keeps.
const PREPARED_STATEMENTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(255);

/// The text of a statement and the kinds of its parameters.
type Shape = (String, Vec<Discriminant<Parameter>>);

/// Why DuckDB could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("could not open DuckDB with {memory_bytes} bytes of memory")]
pub struct OpenEngineError {
    /// The memory that was asked for.
    memory_bytes: u64,
    /// Why.
    source: duckdb::Error,
}

/// What a DuckDB may use.
pub(crate) struct EngineLimits {
    pub(crate) memory_bytes: u64,
    pub(crate) threads: usize,
    /// The only folder of which it may read files.
    pub(crate) files: PathBuf,
    /// Where it spills, and how many bytes.
    pub(crate) spill: Option<(PathBuf, u64)>,
}

/// A DuckDB in memory that reaches nothing outside itself but the copies of the lake's files on the
/// local disk: no other files, no network, no extensions, and no setting can be changed any more.
/// What a client's statement may reach of that is less; see [`crate::statement`].
pub(crate) struct Engine {
    /// Sessions that no query uses now.
    idle: Mutex<Vec<Session>>,
    /// The connection that others are cloned from.
    root: Mutex<Connection>,
    sessions: AtomicU64,
}

/// A connection with what only its queries see: temporary views of the lake's tables, rows that
/// are handed to DuckDB, and the values of parameters.
pub(crate) struct Session {
    pub(crate) connection: Connection,
    /// The text of each temporary view that there is, by its name.
    pub(crate) views: std::collections::HashMap<String, String>,
    pub(crate) sources: Sources,
    pub(crate) parameters: Parameters,
    /// The texts of [`Session::planned_once`].
    shapes: LruCache<Shape, Option<String>>,
    /// Tells the functions of this session from those of others.
    pub(crate) number: u64,
}

impl Engine {
    pub(crate) fn open(limits: &EngineLimits) -> Result<Self, OpenEngineError> {
        let root = connect(limits).map_err(|source| OpenEngineError {
            memory_bytes: limits.memory_bytes,
            source,
        })?;
        Ok(Self {
            idle: Mutex::default(),
            root: Mutex::new(root),
            sessions: AtomicU64::default(),
        })
    }

    /// A session for one query.
    pub(crate) fn session(&self) -> Result<Session, duckdb::Error> {
        let idle = self.idle().pop();
        match idle {
            Some(session) => Ok(session),
            None => self.new_session(),
        }
    }

    fn new_session(&self) -> Result<Session, duckdb::Error> {
        let connection = self
            .root
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .try_clone()?;
        connection.set_prepared_statement_cache_capacity(PREPARED_STATEMENTS.get());
        let number = self.sessions.fetch_add(1, Ordering::Relaxed);
        let (sources, parameters) = (Sources::default(), Parameters::default());
        table_source::register(&connection, number, &sources)?;
        parameter::register(&connection, number, &parameters)?;
        Ok(Session {
            connection,
            views: Default::default(),
            sources,
            parameters,
            shapes: LruCache::new(PREPARED_STATEMENTS),
            number,
        })
    }

    /// Takes back the session of a query that ended.
    pub(crate) fn give_back(&self, session: Session) {
        session.sources.clear();
        session.parameters.clear();
        self.idle().push(session);
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Session>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// The text with which DuckDB plans a query once for all values of its parameters, if there is
    /// one; see [`shape`].
    pub(crate) fn planned_once(
        &mut self,
        query: &Query,
        statement: &Statement,
        tables: &[SchemaRef],
    ) -> Option<String> {
        if query.parameters.is_empty() {
            return None;
        }
        let kinds = query
            .parameters
            .iter()
            .map(std::mem::discriminant)
            .collect();
        let key = (query.sql.clone(), kinds);
        if let Some(known) = self.shapes.get(&key) {
            return known.clone();
        }
        let text = shape::planned_once(
            &self.connection,
            &statement.ast,
            self.number,
            &query.parameters,
            tables,
        );
        self.shapes.put(key, text.clone());
        text
    }

    /// Makes a temporary view of this text, unless it is there already.
    pub(crate) fn show(&mut self, name: &str, text: String) -> Result<(), duckdb::Error> {
        if self.views.get(name) == Some(&text) {
            return Ok(());
        }
        self.views.remove(name);
        // DuckDB notices that a table changed under a prepared statement, but not always that a view
        // did: a plan made while there were no files goes on to find none.
        self.connection.flush_prepared_statement_cache();
        let view = format!("CREATE OR REPLACE TEMP VIEW {name} AS {text}");
        self.connection.execute_batch(&view)?;
        self.views.insert(name.to_owned(), text);
        Ok(())
    }
}

fn connect(limits: &EngineLimits) -> Result<Connection, duckdb::Error> {
    let mut settings = Config::default()
        .max_memory(&format!("{}B", limits.memory_bytes))?
        .threads(i64::try_from(limits.threads).unwrap_or(1))?
        .enable_autoload_extension(false)?
        .with("autoinstall_known_extensions", "false")?
        .with("allow_community_extensions", "false")?
        // Without ORDER BY an answer has no order, and keeping one costs memory and time.
        .with("preserve_insertion_order", "false")?
        .with("temp_directory", "")?;
    if let Some((folder, bytes)) = &limits.spill {
        settings = settings
            .with("temp_directory", folder.to_string_lossy())?
            .with("max_temp_directory_size", format!("{bytes}B"))?;
    }
    let connection = Connection::open_in_memory_with_flags(settings)?;
    // Whatever zone the machine is in, all workers see the same days. A DuckDB without time zones
    // does not know the setting.
    let _ = connection.execute_batch("SET TimeZone = 'UTC'");
    let files = limits.files.to_string_lossy().replace('\'', "''");
    // In this order: locking the configuration is the last thing that can be configured.
    connection.execute_batch(&format!(
        "SET parquet_metadata_cache = true; SET allowed_directories = ['{files}/']; \
         SET enable_external_access = false; SET lock_configuration = true;"
    ))?;
    Ok(connection)
}
