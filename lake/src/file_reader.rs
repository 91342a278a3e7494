//! Reading the rows of one file.

use crate::{DataFile, Scalar, Table};
use arrow::{
    array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, StringArray,
        TimestampMicrosecondArray, new_null_array,
    },
    compute::cast,
    datatypes::{DataType, Field, SchemaRef},
    error::ArrowError,
    record_batch::RecordBatch,
};
use bytes::Bytes;
use object_store::{ObjectStoreExt, path::Path};
use parquet::{arrow::arrow_reader::ParquetRecordBatchReaderBuilder, errors::ParquetError};
use std::{path::PathBuf, sync::Arc};
use streamsync_core::PartitionValues;

/// Rows in a batch that is read.
const BATCH_ROWS: usize = 8192;

/// Why a file could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadFileError {
    /// The path that the log has is not one below the table.
    #[error("could not read file {path}: its path is not one below the table")]
    Path {
        /// The file.
        path: String,
    },
    /// The bucket did not give the file.
    #[error("could not fetch file {path}")]
    Fetch {
        /// The file.
        path: String,
        /// The cause.
        #[source]
        source: object_store::Error,
    },
    /// The file is not as long as the log says.
    #[error("file {path} is damaged: it has {found} bytes, and {expected} in the table's log")]
    Size {
        /// The file.
        path: String,
        /// The size in the log.
        expected: u64,
        /// The size in the bucket.
        found: u64,
    },
    /// The file is not Parquet.
    #[error("file {path} is damaged: it is not readable as parquet")]
    Parquet {
        /// The file.
        path: String,
        /// The cause.
        #[source]
        source: ParquetError,
    },
    /// The file has more or fewer rows than the log says.
    #[error("file {path} is damaged: it has {found} rows, and {expected} in the table's log")]
    Rows {
        /// The file.
        path: String,
        /// The number in the log.
        expected: u64,
        /// The number in the file.
        found: u64,
    },
    /// The file's columns are not the table's.
    #[error("could not read file {path} with the columns of its table")]
    Columns {
        /// The file.
        path: String,
        /// The cause.
        #[source]
        source: ArrowError,
    },
}

pub(crate) async fn read(
    table: &Table,
    file: &DataFile,
) -> Result<Vec<RecordBatch>, ReadFileError> {
    let bytes = fetch(table, file).await?;
    let (schema, file) = (table.schema(), file.clone());
    let engine = table.lake().engine();
    engine.run(move |_| decode(bytes, &schema, &file)).await
}

/// All bytes of a file, as many as the log says.
pub(crate) async fn fetch(table: &Table, file: &DataFile) -> Result<Bytes, ReadFileError> {
    let path = object_path(table, file)?;
    let fetched = async {
        let object = table.lake().store().get(&path).await?;
        // Before its bytes are fetched: a file of another size is not worth them.
        if object.meta.size != file.size {
            return Ok(Err(object.meta.size));
        }
        object.bytes().await.map(Ok)
    };
    let found = fetched.await.map_err(|source| ReadFileError::Fetch {
        path: file.path.clone(),
        source,
    })?;
    found.map_err(|found| ReadFileError::Size {
        path: file.path.clone(),
        expected: file.size,
        found,
    })
}

pub(crate) fn object_path(table: &Table, file: &DataFile) -> Result<Path, ReadFileError> {
    let root = table.snapshot().table_root();
    let url = root.join(&file.path).ok();
    url.filter(|url| url.as_str().starts_with(root.as_str()))
        .and_then(|url| Path::from_url_path(url.path()).ok())
        .ok_or_else(|| ReadFileError::Path {
            path: file.path.clone(),
        })
}

impl Table {
    /// Where a file is on the local disk, if the lake is a folder.
    pub fn local_path(&self, file: &DataFile) -> Option<PathBuf> {
        object_path(self, file).ok()?;
        let url = self.snapshot().table_root().join(&file.path).ok()?;
        (url.scheme() == "file").then(|| url.to_file_path().ok())?
    }
}

fn decode(
    bytes: Bytes,
    schema: &SchemaRef,
    file: &DataFile,
) -> Result<Vec<RecordBatch>, ReadFileError> {
    let mut batches = Vec::new();
    decode_each(bytes, schema, file, |batch| {
        batches.push(batch);
        Ok::<(), ReadFileError>(())
    })?;
    Ok(batches)
}

/// Decodes a file batch by batch; how many rows it has.
pub(crate) fn decode_each<E: From<ReadFileError>>(
    bytes: Bytes,
    schema: &SchemaRef,
    file: &DataFile,
    mut take: impl FnMut(RecordBatch) -> Result<(), E>,
) -> Result<u64, E> {
    let damaged = |source| ReadFileError::Parquet {
        path: file.path.clone(),
        source,
    };
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes).map_err(damaged)?;
    let reader = builder
        .with_batch_size(BATCH_ROWS)
        .build()
        .map_err(damaged)?;
    let mut found = 0;
    for batch in reader {
        let batch = batch.map_err(|error| damaged(error.into()))?;
        found += batch.num_rows() as u64;
        let batch = with_partition(&batch, schema, &file.partition);
        take(batch.map_err(|source| ReadFileError::Columns {
            path: file.path.clone(),
            source,
        })?)?;
    }
    if let Some(expected) = file.rows.filter(|expected| *expected != found) {
        return Err(E::from(ReadFileError::Rows {
            path: file.path.clone(),
            expected,
            found,
        }));
    }
    Ok(found)
}

pub(crate) fn with_partition(
    batch: &RecordBatch,
    schema: &SchemaRef,
    partition: &PartitionValues,
) -> Result<RecordBatch, ArrowError> {
    let rows = batch.num_rows();
    let columns = schema
        .fields()
        .iter()
        .map(|field| match partition.get(field.name()) {
            Some(value) => constant(field, value.as_deref(), rows),
            None => match batch.column_by_name(field.name()) {
                Some(column) if column.data_type() == field.data_type() => Ok(Arc::clone(column)),
                Some(column) => cast(column, field.data_type()),
                None => Ok(new_null_array(field.data_type(), rows)),
            },
        })
        .collect::<Result<_, _>>()?;
    RecordBatch::try_new(Arc::clone(schema), columns)
}

pub(crate) fn constant(
    field: &Field,
    value: Option<&str>,
    rows: usize,
) -> Result<ArrayRef, ArrowError> {
    let data_type = field.data_type();
    let Some(text) = value else {
        return Ok(new_null_array(data_type, rows));
    };
    let unreadable = || {
        ArrowError::ParseError(format!(
            "`{text}` is not a value of partition column `{}`, which is {data_type}",
            field.name()
        ))
    };
    let scalar = Scalar::parse(data_type, text).ok_or_else(unreadable)?;
    let column: ArrayRef = match scalar {
        Scalar::Int(value) => match i64::try_from(value) {
            Ok(value) => Arc::new(Int64Array::from_value(value, rows)),
            Err(_) => Arc::new(Decimal128Array::from_value(value, rows)),
        },
        Scalar::Text(value) => Arc::new(StringArray::from_iter_values(std::iter::repeat_n(
            value, rows,
        ))),
        Scalar::Bool(value) => Arc::new(BooleanArray::from(vec![value; rows])),
        Scalar::Date(days) => Arc::new(Date32Array::from_value(days, rows)),
        Scalar::TimestampMicros(micros) => {
            let utc = TimestampMicrosecondArray::from_value(micros, rows).with_timezone("UTC");
            Arc::new(utc)
        }
    };
    match data_type {
        DataType::Utf8 | DataType::Boolean | DataType::Date32 => Ok(column),
        _ => cast(&column, data_type),
    }
}
