//! Writing what is computed from other tables.

use crate::{
    Observer, Silent,
    merge::{MergeError, local_files},
};
use arrow::array::RecordBatch;
use duckdb::Connection;
use std::{
    path::{Path, PathBuf},
    sync::Arc,
};
use streamsync_core::PartitionValues;
use streamsync_lake::{DataFile, NewFile, StagedFile, Table};
use tokio::runtime::Handle;

/// A table that gets new files, on a thread that may wait.
pub(crate) struct Derived {
    pub(crate) table: Table,
    pub(crate) target_bytes: u64,
    pub(crate) runtime: Handle,
}

impl Derived {
    /// Puts the rows of a statement into the bucket, as files of one partition. They have to come in
    /// the order of the table.
    pub(crate) fn write(
        &self,
        connection: &Connection,
        statement: &str,
        partition: &PartitionValues,
        staged: &mut Vec<StagedFile>,
    ) -> Result<(), MergeError> {
        let writer = self.table.sorted_writer(partition, 0, self.target_bytes);
        let mut writer = self.runtime.block_on(writer)?;
        let mut stage = |files: Vec<NewFile>| {
            for file in files {
                staged.push(self.runtime.block_on(self.table.stage(file))?);
            }
            Ok::<(), MergeError>(())
        };
        let mut statement = connection.prepare(statement)?;
        let _ = statement.stream_arrow([])?;
        // Not the iterator that `stream_arrow` returns: it panics where this returns the error.
        while let Some(rows) = statement.step()? {
            stage(writer.write(&RecordBatch::from(&rows))?)?;
        }
        let (last, _) = writer.finish()?;
        stage(last)
    }
}

/// Views of files, with where those are.
#[derive(Default)]
pub(crate) struct Views {
    /// The statements that make them.
    pub(crate) statements: Vec<String>,
    /// The files on the local disk.
    pub(crate) files: Vec<PathBuf>,
}

impl Views {
    /// Adds one of files of a table, under some name; without files, an empty one.
    pub(crate) async fn add(
        &mut self,
        name: &str,
        table: &Table,
        files: &[DataFile],
        folder: &Path,
    ) -> Result<(), Box<MergeError>> {
        let observer: Arc<dyn Observer> = Arc::new(Silent);
        let local = local_files(table, files, &folder.join(name), &observer).await?;
        let paths: Vec<String> = local
            .iter()
            .map(|file| format!("'{}'", file.to_string_lossy().replace('\'', "''")))
            .collect();
        self.statements.push(match paths.is_empty() {
            true => empty_view(name, table),
            false => format!(
                "CREATE VIEW {} AS SELECT * FROM read_parquet([{}], hive_partitioning = false)",
                quoted(name),
                paths.join(", ")
            ),
        });
        self.files.extend(local);
        Ok(())
    }
}

/// A view with the columns of a table, and no rows.
pub(crate) fn empty_view(name: &str, table: &Table) -> String {
    let columns = table.schema();
    let columns = columns
        .fields()
        .iter()
        .filter(|field| !table.partition_columns().contains(field.name()))
        .map(|field| {
            let column = quoted(field.name());
            format!("NULL::{} AS {column}", sql_type(field.data_type()))
        });
    format!(
        "CREATE VIEW {} AS SELECT {} WHERE false",
        quoted(name),
        columns.collect::<Vec<_>>().join(", ")
    )
}

pub(crate) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn sql_type(data_type: &arrow::datatypes::DataType) -> String {
    use arrow::datatypes::DataType;
    match data_type {
        DataType::Boolean => "BOOLEAN".to_owned(),
        DataType::Int16 => "SMALLINT".to_owned(),
        DataType::Int32 => "INTEGER".to_owned(),
        DataType::Int64 => "BIGINT".to_owned(),
        DataType::Date32 => "DATE".to_owned(),
        DataType::Binary => "BLOB".to_owned(),
        DataType::Decimal128(precision, scale) => format!("DECIMAL({precision}, {scale})"),
        DataType::Timestamp(..) => "TIMESTAMPTZ".to_owned(),
        DataType::List(element) => format!("{}[]", sql_type(element.data_type())),
        _ => "VARCHAR".to_owned(),
    }
}
