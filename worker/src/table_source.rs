//! Rows that the worker hands to DuckDB: a table function for each session, which gives the rows
//! that the session's query has been given, or fetches them from the bucket as DuckDB takes them.

use crate::{LoadError, sql_type::quoted};
use arrow::{
    array::{ArrayRef, RecordBatch},
    compute::cast,
    datatypes::{DataType, SchemaRef},
    error::ArrowError,
};
use duckdb::{
    Connection,
    core::{DataChunkHandle, LogicalTypeId},
    vtab::{
        BindInfo, InitInfo, TableFunctionInfo, VTab, record_batch_to_duckdb_data_chunk,
        to_duckdb_logical_type,
    },
};
use futures::{StreamExt, stream::BoxStream};
use std::{
    collections::HashMap,
    error::Error,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use streamsync_core::TableName;
use tokio::{runtime::Handle, sync::mpsc};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument, Span};

/// The rows that DuckDB takes at once: its vector size.
pub(crate) const VECTOR_ROWS: usize = 2_048;
/// How many batches of a streamed file wait for DuckDB.
const READ_AHEAD: usize = 8;

/// What a session's query finds behind the table function, by the name of the table.
#[derive(Clone, Default)]
pub(crate) struct Sources(Arc<Mutex<HashMap<String, Source>>>);

/// The rows of one table.
#[derive(Clone)]
pub(crate) struct Source {
    /// The columns, as DuckDB sees them; see [`plain`].
    pub(crate) schema: SchemaRef,
    pub(crate) rows: SourceRows,
}

#[derive(Clone)]
pub(crate) enum SourceRows {
    /// These, with the columns of the source.
    Given(Arc<[RecordBatch]>),
    /// Those that are fetched while DuckDB runs.
    Streamed(RowStream),
}

/// Rows that are fetched while DuckDB runs, each time that DuckDB scans them.
#[derive(Clone)]
pub(crate) struct RowStream {
    /// Begins to fetch the columns at these places.
    pub(crate) open: Arc<OpenStream>,
    /// Where the fetching runs.
    pub(crate) runtime: Handle,
    /// The trace that reading belongs to.
    pub(crate) span: Span,
    /// Ends it.
    pub(crate) cancelled: CancellationToken,
}

/// See [`RowStream::open`].
pub(crate) type OpenStream =
    dyn Fn(Vec<usize>) -> BoxStream<'static, Result<RecordBatch, LoadError>> + Send + Sync;

impl Sources {
    pub(crate) fn set(&self, table: &str, source: Source) {
        self.lock().insert(table.to_owned(), source);
    }

    pub(crate) fn clear(&self) {
        self.lock().clear();
    }

    fn get(&self, table: &str) -> Result<Source, Box<dyn Error>> {
        let source = self.lock().get(table).cloned();
        source.ok_or_else(|| format!("the session has no rows of table {table}").into())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Source>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes the table function of a session.
pub(crate) fn register(
    connection: &Connection,
    session: u64,
    sources: &Sources,
) -> Result<(), duckdb::Error> {
    connection.register_table_function_with_extra_info::<TableSource, Sources>(
        &format!("table_source_{session}"),
        sources,
    )
}

/// The text of a view of a session's rows of a table. It names the columns, so that a table with
/// other columns has another text.
pub(crate) fn view(session: u64, table: &TableName, schema: &SchemaRef) -> String {
    let columns: Vec<String> = schema.fields().iter().map(|field| quoted(field)).collect();
    format!(
        "SELECT {} FROM table_source_{session}('{table}')",
        columns.join(", ")
    )
}

/// The columns with types that no setting of the machine touches: times with the zone UTC become
/// plain ones, whose functions need no extension.
pub(crate) fn plain(schema: &SchemaRef) -> SchemaRef {
    let fields = schema.fields().iter().map(|field| match field.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            let plain = DataType::Timestamp(*unit, None);
            Arc::new(field.as_ref().clone().with_data_type(plain))
        }
        _ => Arc::clone(field),
    });
    Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()))
}

/// Rows with the columns of [`plain`].
pub(crate) fn plain_rows(
    rows: &RecordBatch,
    schema: &SchemaRef,
) -> Result<RecordBatch, ArrowError> {
    let columns = rows.columns().iter().zip(schema.fields());
    let columns = columns.map(|(column, field)| match field.data_type() {
        same if same == column.data_type() => Ok(Arc::clone(column)),
        plain => cast(column, plain),
    });
    RecordBatch::try_new(
        Arc::clone(schema),
        columns.collect::<Result<Vec<ArrayRef>, _>>()?,
    )
}

struct TableSource;

/// Which table's rows, of whose session.
struct Bound {
    sources: Sources,
    table: String,
}

/// One scan of the rows.
struct Scan {
    /// The columns that DuckDB wants, by their place in the table.
    columns: Vec<usize>,
    reader: Mutex<Option<Reader>>,
}

enum Reader {
    Given(std::vec::IntoIter<RecordBatch>),
    Streamed(mpsc::Receiver<Result<RecordBatch, LoadError>>),
}

impl VTab for TableSource {
    type InitData = Scan;
    type BindData = Bound;

    fn bind(bind: &BindInfo) -> Result<Bound, Box<dyn Error>> {
        // SAFETY: `register` gives every function of this type a `Sources` as its extra info,
        // which DuckDB keeps as long as the function.
        #[allow(unsafe_code)]
        let sources = unsafe { &*bind.get_extra_info::<Sources>() }.clone();
        let table = bind.get_parameter(0).to_string();
        for field in sources.get(&table)?.schema.fields() {
            bind.add_result_column(field.name(), to_duckdb_logical_type(field.data_type())?);
        }
        Ok(Bound { sources, table })
    }

    fn init(init: &InitInfo) -> Result<Scan, Box<dyn Error>> {
        let columns = init.get_column_indices();
        let columns = columns
            .into_iter()
            .map(usize::try_from)
            .collect::<Result<_, _>>()?;
        Ok(Scan {
            columns,
            reader: Mutex::default(),
        })
    }

    fn func(
        function: &TableFunctionInfo<Self>,
        output: &mut DataChunkHandle,
    ) -> Result<(), Box<dyn Error>> {
        let (scan, bound) = (function.get_init_data(), function.get_bind_data());
        let mut reader = scan.reader.lock().unwrap_or_else(PoisonError::into_inner);
        let reader = match &mut *reader {
            Some(reader) => reader,
            none => none.insert(Reader::open(
                bound.sources.get(&bound.table)?,
                &scan.columns,
            )?),
        };
        match reader.next()? {
            Some(rows) if output.num_columns() == rows.num_columns() => {
                record_batch_to_duckdb_data_chunk(&rows, output)
            }
            Some(rows) => {
                output.set_len(rows.num_rows());
                Ok(())
            }
            None => {
                output.set_len(0);
                Ok(())
            }
        }
    }

    fn supports_pushdown() -> bool {
        true
    }

    fn parameters() -> Option<Vec<duckdb::core::LogicalTypeHandle>> {
        Some(vec![LogicalTypeId::Varchar.into()])
    }
}

impl Reader {
    fn open(source: Source, wanted: &[usize]) -> Result<Self, Box<dyn Error>> {
        let width = source.schema.fields().len();
        // Where DuckDB only counts, it asks for a column that is none of the table's.
        let columns: Vec<usize> = wanted.iter().copied().filter(|&at| at < width).collect();
        match source.rows {
            SourceRows::Given(batches) => {
                let mut chunks = Vec::new();
                for batch in batches.iter() {
                    let batch = batch.project(&columns)?;
                    let starts = (0..batch.num_rows()).step_by(VECTOR_ROWS);
                    chunks.extend(starts.map(|start| {
                        batch.slice(start, VECTOR_ROWS.min(batch.num_rows() - start))
                    }));
                }
                Ok(Self::Given(chunks.into_iter()))
            }
            SourceRows::Streamed(stream) => {
                // A stream without columns would have no rows to count.
                let columns = if columns.is_empty() { vec![0] } else { columns };
                Ok(Self::Streamed(stream.start(columns)))
            }
        }
    }

    fn next(&mut self) -> Result<Option<RecordBatch>, Box<dyn Error>> {
        match self {
            Self::Given(chunks) => Ok(chunks.next()),
            Self::Streamed(batches) => Ok(batches.blocking_recv().transpose()?),
        }
    }
}

impl RowStream {
    fn start(self, columns: Vec<usize>) -> mpsc::Receiver<Result<RecordBatch, LoadError>> {
        let (sender, receiver) = mpsc::channel(READ_AHEAD);
        let mut rows = (self.open)(columns);
        let span = self.span.clone();
        let reading = async move {
            loop {
                // A stream that ended early must not look like one that has ended.
                let next = match self.cancelled.run_until_cancelled(rows.next()).await {
                    Some(Some(next)) => next,
                    Some(None) => return,
                    None => Err(LoadError::Stopped),
                };
                let empty = next.as_ref().is_ok_and(|batch| batch.num_rows() == 0);
                let failed = next.is_err();
                if (!empty && sender.send(next).await.is_err()) || failed {
                    return;
                }
            }
        };
        self.runtime.clone().spawn(reading.instrument(span));
        receiver
    }
}
