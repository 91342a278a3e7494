//! DuckDB, locked down: the one database of a worker and its connections.

use crate::LoadError;
use arrow::{
    array::RecordBatch,
    compute::cast,
    datatypes::{DataType, Field, Schema, TimeUnit},
    error::ArrowError,
};
use duckdb::{Config, Connection};
use std::sync::{Arc, Mutex, PoisonError};
use streamsync_core::config::WorkerConfig;

/// Why DuckDB could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenEngineError {
    /// DuckDB refuses the settings.
    #[error("could not open DuckDB with {memory_bytes} bytes of memory")]
    Open {
        /// The memory that was asked for.
        memory_bytes: u64,
        /// Why.
        source: duckdb::Error,
    },
    /// The folder for spilling is of no use.
    #[error("could not use {folder} for what does not fit in memory")]
    SpillFolder {
        /// The folder.
        folder: String,
        /// Why.
        source: std::io::Error,
    },
}

/// An in-memory DuckDB that reaches nothing outside itself: no files, no network, no extensions,
/// and no setting can be changed any more.
pub(crate) struct Engine {
    /// Connections that no query uses now.
    idle: Mutex<Vec<Session>>,
    /// The connection that others are cloned from.
    root: Mutex<Connection>,
}

/// A connection and the pins of the temporary views that it has; see [`crate::pin`].
pub(crate) struct Session {
    pub(crate) connection: Connection,
    pub(crate) views: std::collections::HashMap<String, Vec<String>>,
}

impl Engine {
    pub(crate) fn open(config: &WorkerConfig) -> Result<Arc<Self>, OpenEngineError> {
        if let Some(folder) = &config.cache_folder {
            std::fs::create_dir_all(folder).map_err(|source| OpenEngineError::SpillFolder {
                folder: folder.display().to_string(),
                source,
            })?;
        }
        let root = connect(config).map_err(|source| OpenEngineError::Open {
            memory_bytes: config.memory_bytes,
            source,
        })?;
        Ok(Arc::new(Self {
            idle: Mutex::default(),
            root: Mutex::new(root),
        }))
    }

    /// A connection for one query.
    pub(crate) fn session(&self) -> Result<Session, duckdb::Error> {
        if let Some(session) = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop()
        {
            return Ok(session);
        }
        let connection = self.connect()?;
        Ok(Session {
            connection,
            views: Default::default(),
        })
    }

    /// Takes back the connection of a query that ended.
    pub(crate) fn give_back(&self, session: Session) {
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(session);
    }

    pub(crate) fn connect(&self) -> Result<Connection, duckdb::Error> {
        self.root
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .try_clone()
    }

    /// Makes a native table of these batches.
    pub(crate) fn load(
        &self,
        name: &str,
        schema: &Schema,
        batches: Vec<RecordBatch>,
    ) -> Result<(), LoadError> {
        let connection = self.connect()?;
        connection.execute_batch(&format!("CREATE TABLE {name} ({})", columns(schema)))?;
        let appended = append(&connection, name, batches);
        if appended.is_err() {
            self.drop_table(name);
        }
        appended
    }

    pub(crate) fn drop_table(&self, name: &str) {
        let dropped = self
            .connect()
            .and_then(|connection| connection.execute_batch(&format!("DROP TABLE {name}")));
        if let Err(error) = dropped {
            tracing::error!(table = name, %error, "could not drop a table from the hot cache");
        }
    }
}

fn connect(config: &WorkerConfig) -> Result<Connection, duckdb::Error> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if config.threads == 0 {
        cores
    } else {
        config.threads
    };
    let mut settings = Config::default()
        .max_memory(&format!("{}B", config.memory_bytes))?
        .threads(i64::try_from(threads).unwrap_or(1))?
        .enable_autoload_extension(false)?
        .with("autoinstall_known_extensions", "false")?
        .with("allow_community_extensions", "false")?
        .with("temp_directory", "")?;
    if let Some(folder) = &config.cache_folder {
        settings = settings
            .with("temp_directory", folder.to_string_lossy())?
            .with(
                "max_temp_directory_size",
                format!("{}B", config.spill_bytes),
            )?;
    }
    let connection = Connection::open_in_memory_with_flags(settings)?;
    // In this order: locking the configuration is the last thing that can be configured.
    connection
        .execute_batch("SET enable_external_access = false; SET lock_configuration = true;")?;
    Ok(connection)
}

fn append(connection: &Connection, name: &str, batches: Vec<RecordBatch>) -> Result<(), LoadError> {
    let mut appender = connection.appender(name)?;
    for batch in batches {
        appender.append_record_batch(in_utc(batch)?)?;
    }
    appender.flush()?;
    Ok(())
}

/// Times with the zone UTC become plain ones: their functions then need no extension, and no
/// setting of the machine changes what they answer.
fn in_utc(batch: RecordBatch) -> Result<RecordBatch, ArrowError> {
    let schema = batch.schema();
    let (fields, columns): (Vec<_>, Vec<_>) = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| match field.data_type() {
            DataType::Timestamp(unit, Some(_)) => {
                let plain = DataType::Timestamp(*unit, None);
                let cast = cast(column, &plain)?;
                Ok((Arc::new(field.as_ref().clone().with_data_type(plain)), cast))
            }
            _ => Ok((Arc::clone(field), Arc::clone(column))),
        })
        .collect::<Result<Vec<_>, ArrowError>>()?
        .into_iter()
        .unzip();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

/// The columns of a schema, as SQL.
fn columns(schema: &Schema) -> String {
    let columns = schema.fields().iter();
    columns
        .map(|field| format!("{} {}", quoted(field), sql_type(field)))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A NULL of each column of a schema, as SQL.
pub(crate) fn nulls(schema: &Schema) -> String {
    let columns = schema.fields().iter();
    let null = |field| format!("CAST(NULL AS {}) AS {}", sql_type(field), quoted(field));
    columns
        .map(|field| null(field))
        .collect::<Vec<_>>()
        .join(", ")
}

fn quoted(field: &Field) -> String {
    format!("\"{}\"", field.name().replace('"', "\"\""))
}

fn sql_type(field: &Field) -> String {
    match field.data_type() {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int8 => "TINYINT".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INTEGER".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Float32 => "REAL".to_owned(),
        DataType::Float64 => "DOUBLE".to_owned(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Timestamp(TimeUnit::Microsecond, _) => "TIMESTAMP".to_owned(),
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "BLOB".to_owned(),
        DataType::List(element) | DataType::LargeList(element) => {
            format!("{}[]", sql_type(element))
        }
        // Text, and whatever a lake written by others may hold: DuckDB says when it does not fit.
        _ => "VARCHAR".to_owned(),
    }
}
