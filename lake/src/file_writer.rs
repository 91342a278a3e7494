//! Turning rows into sorted Parquet files, one a partition.

use crate::{
    file_name,
    table::{ENGINE_INFO, Table},
};
use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, StructArray},
    compute::{
        SortColumn, SortOptions, concat_batches, lexsort_to_indices, partition, take_record_batch,
    },
    datatypes::{DataType, Date32Type, Int32Type, Int64Type, SchemaRef},
    error::ArrowError,
};
use bytes::Bytes;
use delta_kernel::{
    DeltaResult, Engine, Error, FileMeta,
    committer::FileSystemCommitter,
    engine::{arrow_conversion::TryFromArrow, arrow_data::ArrowEngineData},
    expressions::Scalar as KernelScalar,
    schema::{DataType as KernelType, StructType},
    snapshot::SnapshotRef,
    transaction::{BoundWriteContext, WriteState},
};
use delta_kernel_default_engine::{
    build_add_file_metadata, parquet::DataFileMetadata, stats::collect_stats,
};
use object_store::path::Path;
use parquet::{
    arrow::{ArrowWriter, arrow_writer::ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::{EnabledStatistics, WriterProperties},
    schema::types::ColumnPath,
};
use std::{collections::HashMap, sync::Arc};
use url::Url;

/// Rows in a row group: the unit that readers skip and that they read in parallel. DuckDB works
/// in vectors of 2,048 and row groups of 122,880, so this feeds it about one at a time.
const ROW_GROUP_ROWS: usize = 131_072;
/// Rows in a page, the finer unit that the page index skips, and what a worker reads and keeps for
/// a lookup by key.
const PAGE_ROWS: usize = 4_096;
const ZSTD_LEVEL: i32 = 3;
/// How often a Bloom filter lets a value through that is not there.
const BLOOM_FILTER_FALSE_POSITIVES: f64 = 0.01;

/// A Parquet file that is ready to be put into the bucket and into the log.
#[derive(Debug)]
pub struct NewFile {
    /// Where it goes in the object store.
    pub(crate) path: Path,
    pub(crate) bytes: Bytes,
    pub(crate) rows: u64,
    /// The one row that announces it to the kernel.
    pub(crate) add: RecordBatch,
}

/// Why rows could not be turned into files.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// They have other columns, or a NULL where there must be none.
    #[error("the rows do not fit the columns of the table: {0}")]
    Rows(String),
    /// They could not be sorted.
    #[error("could not sort the rows")]
    Sort(#[from] ArrowError),
    /// Parquet refused them.
    #[error("could not write the rows as parquet")]
    Parquet(#[from] ParquetError),
    /// The Delta kernel refused what is known of a file.
    #[error("could not describe the files to the table's log")]
    Describe(#[from] Error),
    /// A partition value that no path can have.
    #[error("could not name the files")]
    Path(#[from] object_store::path::Error),
}

/// Checks the rows, splits them by partition, sorts each part and encodes it.
pub(crate) fn encode(
    engine: &dyn Engine,
    table: &Table,
    batches: &[RecordBatch],
) -> Result<Vec<NewFile>, EncodeError> {
    let schema = table.schema();
    let batches = batches
        .iter()
        .filter(|batch| batch.num_rows() > 0)
        .map(|batch| conform(batch, &schema))
        .collect::<Result<Vec<_>, _>>()?;
    if batches.is_empty() {
        return Ok(Vec::new());
    }
    let rows = concat_batches(&schema, &batches)?;
    let partition_columns = table.partition_columns();
    let sort_by = table
        .definition()
        .map_or(&[][..], |definition| definition.sort_by);
    let order = partition_columns
        .iter()
        .map(String::as_str)
        .chain(sort_by.iter().copied());
    let rows = sort(&rows, order)?;
    let partition_values: Vec<ArrayRef> = partition_columns
        .iter()
        .filter_map(|column| rows.column_by_name(column).cloned())
        .collect();
    let kept: Vec<usize> = (0..schema.fields().len())
        .filter(|&index| !partition_columns.contains(schema.field(index).name()))
        .collect();
    let data = rows.project(&kept)?;
    let write_state = write_state(engine, table.snapshot())?;
    // A table without partitions is one range; the kernel of arrow wants at least one column.
    let ranges = match partition_values.as_slice() {
        [] => std::iter::once(0..rows.num_rows()).collect(),
        values => partition(values)?.ranges(),
    };
    ranges
        .into_iter()
        .map(|range| {
            let values = partition_columns
                .iter()
                .zip(&partition_values)
                .map(|(column, values)| Ok((column.clone(), kernel_scalar(values, range.start)?)))
                .collect::<Result<HashMap<_, _>, EncodeError>>()?;
            let part = data.slice(range.start, range.len());
            new_file(&write_state, values, &part)
        })
        .collect()
}

/// The batch with the table's own schema, if its columns are the table's and no column that must
/// not be NULL is.
fn conform(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, EncodeError> {
    let given = batch.schema();
    let describe = |schema: &SchemaRef| {
        let columns = schema.fields().iter();
        columns
            .map(|field| format!("{} {}", field.name(), field.data_type()))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let same = given.fields().len() == schema.fields().len()
        && given
            .fields()
            .iter()
            .zip(schema.fields())
            .all(|(a, b)| a.name() == b.name() && a.data_type().equals_datatype(b.data_type()));
    if !same {
        return Err(EncodeError::Rows(format!(
            "got ({}), need ({})",
            describe(&given),
            describe(schema)
        )));
    }
    RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec())
        .map_err(|error| EncodeError::Rows(error.to_string()))
}

fn sort<'a>(
    rows: &RecordBatch,
    order: impl Iterator<Item = &'a str>,
) -> Result<RecordBatch, ArrowError> {
    let columns: Vec<SortColumn> = order
        .filter_map(|column| rows.column_by_name(column))
        .map(|values| SortColumn {
            values: Arc::clone(values),
            options: Some(SortOptions::default()),
        })
        .collect();
    if columns.is_empty() {
        return Ok(rows.clone());
    }
    let order = lexsort_to_indices(&columns, None)?;
    take_record_batch(rows, &order)
}

pub(crate) fn write_state(
    engine: &dyn Engine,
    snapshot: &SnapshotRef,
) -> DeltaResult<Arc<WriteState>> {
    Arc::clone(snapshot)
        .transaction(Box::new(FileSystemCommitter::new()), engine)?
        .write_state()
}

fn new_file(
    write_state: &Arc<WriteState>,
    partition: HashMap<String, KernelScalar>,
    rows: &RecordBatch,
) -> Result<NewFile, EncodeError> {
    let context = write_context(write_state, partition)?;
    let mut writer = ArrowWriter::try_new_with_options(Vec::new(), rows.schema(), options(&[])?)?;
    writer.write(rows)?;
    let bytes = writer.into_inner()?;
    let physical = StructType::try_from_arrow(rows.schema())?;
    let statistics = collect_stats(rows, context.stats_columns(), &physical)?;
    let folder = context.write_dir();
    describe(
        &context,
        &folder,
        0,
        bytes.into(),
        rows.num_rows() as u64,
        statistics,
    )
}

pub(crate) fn write_context(
    write_state: &Arc<WriteState>,
    partition: HashMap<String, KernelScalar>,
) -> DeltaResult<BoundWriteContext> {
    let context = write_state.write_context_builder();
    let context = if partition.is_empty() {
        context
    } else {
        context.with_partition_values(partition)
    };
    context.build()
}

/// What the log is told of a file with these bytes in a folder.
pub(crate) fn describe(
    context: &BoundWriteContext,
    folder: &Url,
    generation: u32,
    bytes: Bytes,
    rows: u64,
    statistics: StructArray,
) -> Result<NewFile, EncodeError> {
    let id = file_name::unique();
    let location = folder
        .join(&file_name::data_file(id, generation))
        .map_err(Error::from)?;
    let path = Path::from_url_path(location.path())?;
    let file = FileMeta::new(location, file_name::unix_millis(id), bytes.len() as u64);
    let add = build_add_file_metadata(DataFileMetadata::new(file, statistics), context)?;
    let add = ArrowEngineData::try_from_engine_data(add)?;
    Ok(NewFile {
        path,
        bytes,
        rows,
        add: add.into(),
    })
}

/// How files are written; the columns that are named get Bloom filters.
pub(crate) fn options(filtered_by: &[&str]) -> Result<ArrowWriterOptions, ParquetError> {
    let mut properties = WriterProperties::builder()
        .set_created_by(ENGINE_INFO.to_owned())
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(ZSTD_LEVEL)?))
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_dictionary_enabled(true)
        .set_statistics_enabled(EnabledStatistics::Page);
    for column in filtered_by {
        let column = ColumnPath::from(*column);
        properties = properties
            .set_column_bloom_filter_enabled(column.clone(), true)
            .set_column_bloom_filter_fpp(column.clone(), BLOOM_FILTER_FALSE_POSITIVES)
            .set_column_bloom_filter_ndv(column, ROW_GROUP_ROWS as u64);
    }
    // Parquet's own types say all that there is to say of these columns.
    Ok(ArrowWriterOptions::new()
        .with_properties(properties.build())
        .with_skip_arrow_metadata(true))
}

/// One value of a partition column as the kernel has it.
pub(crate) fn kernel_scalar(values: &ArrayRef, row: usize) -> Result<KernelScalar, EncodeError> {
    let null = values.is_null(row);
    Ok(match values.data_type() {
        DataType::Date32 if null => KernelScalar::Null(KernelType::DATE),
        DataType::Date32 => KernelScalar::Date(values.as_primitive::<Date32Type>().value(row)),
        DataType::Int32 if null => KernelScalar::Null(KernelType::INTEGER),
        DataType::Int32 => KernelScalar::Integer(values.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 if null => KernelScalar::Null(KernelType::LONG),
        DataType::Int64 => KernelScalar::Long(values.as_primitive::<Int64Type>().value(row)),
        DataType::Utf8 if null => KernelScalar::Null(KernelType::STRING),
        DataType::Utf8 => KernelScalar::String(values.as_string::<i32>().value(row).to_owned()),
        other => {
            return Err(EncodeError::Rows(format!(
                "a column of type {other} cannot be a partition column"
            )));
        }
    })
}
