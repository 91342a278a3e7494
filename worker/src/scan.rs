//! What a scan reads: copies on the disk by DuckDB itself, the rest through the worker.

use crate::{
    LoadError,
    disk::LocalFile,
    file_key::FileKey,
    footers::Footers,
    sql_type::{null, quoted, sql_type},
    table_source::{self, RowStream, Source, SourceRows, VECTOR_ROWS},
    tiers::Placed,
};
use arrow::datatypes::{DataType, Field};
use futures::{StreamExt, TryStreamExt, stream};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use streamsync_core::Constraint;
use streamsync_lake::{DataFile, Table};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

/// A table at one version, as far as a scan reads it. The copies stay on the disk while this
/// lives.
pub(crate) struct TableScan {
    pub(crate) table: Table,
    pub(crate) local: Vec<(DataFile, Arc<LocalFile>)>,
    pub(crate) remote: Vec<DataFile>,
    /// For each column set that copies lack, or partition columns that are NULL, the copies.
    groups: BTreeMap<BTreeSet<String>, Vec<String>>,
}

impl TableScan {
    /// Sorts the files of a table by where they are.
    pub(crate) async fn new(
        table: Table,
        files: Vec<DataFile>,
        placed: Vec<Placed>,
        footers: &Footers,
    ) -> Result<Self, Arc<LoadError>> {
        let mut scan = Self {
            table,
            local: Vec::new(),
            remote: Vec::new(),
            groups: BTreeMap::new(),
        };
        for (file, placed) in files.into_iter().zip(placed) {
            match placed {
                Placed::Remote(file) => scan.remote.push(file),
                Placed::Local(copy) => {
                    let key = FileKey::new(&scan.table, &file);
                    let open = footers.open(&scan.table, &key, &file, Some(&copy)).await?;
                    let schema = scan.table.schema();
                    let columns = schema.fields().iter().map(|field| field.name());
                    let null = columns.filter(|name| match file.partition.get(*name) {
                        Some(value) => value.is_none(),
                        None => !open.holds(name),
                    });
                    let path = copy.path.display().to_string();
                    scan.groups
                        .entry(null.cloned().collect())
                        .or_default()
                        .push(path);
                    scan.local.push((file, copy));
                }
            }
        }
        Ok(scan)
    }

    /// The names of the files that are read from copies.
    pub(crate) fn local_copies(&self) -> impl Iterator<Item = (FileKey, &Arc<LocalFile>)> {
        let files = self.local.iter();
        files.map(|(file, copy)| (FileKey::new(&self.table, file), copy))
    }

    /// The text of the table's view in a session.
    pub(crate) fn view(&self, session: u64) -> String {
        let mut parts: Vec<String> = self
            .groups
            .iter()
            .map(|(null, paths)| self.copies(null, paths))
            .collect();
        if !self.remote.is_empty() {
            parts.push(table_source::view(
                session,
                self.table.name(),
                &self.table.schema(),
            ));
        }
        if parts.is_empty() {
            let schema = self.table.schema();
            let nulls = schema.fields().iter().map(|field| null(field));
            return format!("SELECT {} WHERE false", list(nulls));
        }
        parts.join(" UNION ALL ")
    }

    fn copies(&self, null_columns: &BTreeSet<String>, paths: &[String]) -> String {
        let schema = self.table.schema();
        let columns = schema.fields().iter().map(|field| {
            let name = quoted(field);
            match field.data_type() {
                _ if null_columns.contains(field.name()) => null(field),
                // Microseconds in UTC, whatever the time zone of the machine.
                DataType::Timestamp(_, Some(_)) => {
                    format!("make_timestamp(epoch_us({name})) AS {name}")
                }
                _ => name,
            }
        });
        let paths = paths
            .iter()
            .map(|path| format!("'{}'", path.replace('\'', "''")));
        format!(
            "SELECT {} FROM read_parquet([{}], {})",
            list(columns),
            list(paths),
            self.partition_options(null_columns)
        )
    }

    /// Partition columns are not in the files, but in their paths.
    fn partition_options(&self, null_columns: &BTreeSet<String>) -> String {
        let schema = self.table.schema();
        let fields = schema.fields().iter().filter(|field| {
            let partition = self.table.partition_columns().contains(field.name());
            partition && !null_columns.contains(field.name())
        });
        let types = list(fields.map(|field: &Arc<Field>| {
            format!(
                "'{}': {}",
                field.name().replace('\'', "''"),
                sql_type(field)
            )
        }));
        if types.is_empty() {
            return "hive_partitioning = false".to_owned();
        }
        format!("hive_partitioning = true, hive_types_autocast = false, hive_types = {{{types}}}")
    }

    /// What the session's table function gives: the rows of the files that are not on the disk.
    pub(crate) fn source(
        &self,
        constraints: &[Constraint],
        footers: &Footers,
        cancelled: &CancellationToken,
    ) -> Source {
        let schema = table_source::plain(&self.table.schema());
        let read = Read {
            table: self.table.clone(),
            files: self.remote.clone().into(),
            constraints: constraints.into(),
            footers: footers.clone(),
        };
        Source {
            schema,
            rows: SourceRows::Streamed(RowStream {
                open: Arc::new(move |columns| read.clone().rows(columns).boxed()),
                runtime: Handle::current(),
                span: tracing::Span::current(),
                cancelled: cancelled.clone(),
            }),
        }
    }
}

/// The rows of files that are not on the disk.
#[derive(Clone)]
struct Read {
    table: Table,
    files: Arc<[DataFile]>,
    constraints: Arc<[Constraint]>,
    footers: Footers,
}

impl Read {
    fn rows(
        self,
        columns: Vec<usize>,
    ) -> impl futures::Stream<Item = Result<arrow::array::RecordBatch, LoadError>> + Send {
        let files = stream::iter(0..self.files.len());
        files
            .then(move |at| {
                let (read, columns) = (self.clone(), columns.clone());
                async move { read.file(at, columns).await }
            })
            .try_flatten()
    }

    async fn file(
        self,
        at: usize,
        columns: Vec<usize>,
    ) -> Result<
        impl futures::Stream<Item = Result<arrow::array::RecordBatch, LoadError>> + Send,
        LoadError,
    > {
        let file = &self.files[at];
        let key = FileKey::new(&self.table, file);
        let open = self.footers.open(&self.table, &key, file, None).await;
        let open = open.map_err(LoadError::Shared)?;
        let sort_column = self
            .table
            .definition()
            .and_then(|definition| definition.sort_by.first().copied());
        let groups = open.row_groups(sort_column, &self.constraints);
        let bytes = open.bytes_of(|_| true) / (open.pages().len() as u64).max(1);
        metrics::counter!("streamsync_cache_pulled_bytes_total", "tier" => "stream")
            .increment(bytes * groups.len() as u64);
        let schema = Arc::new(open.schema().project(&columns)?);
        let schema = table_source::plain(&schema);
        let rows = open.stream(groups, &columns, VECTOR_ROWS)?;
        Ok(rows.map(move |batch| Ok(table_source::plain_rows(&batch?, &schema)?)))
    }
}

fn list(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}
