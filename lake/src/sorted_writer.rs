//! Writing rows that come in order, batch by batch, as files of a certain size.

use crate::{
    EncodeError, NewFile, Table,
    file_reader::constant,
    file_writer::{self, describe, options},
};
use arrow::{
    array::{BooleanArray, RecordBatch},
    compute::{BatchCoalescer, cast, filter_record_batch, kernels::cmp::not_distinct, partition},
    datatypes::{Schema, SchemaRef},
};
use delta_kernel::{
    engine::arrow_conversion::TryFromArrow, schema::StructType, transaction::BoundWriteContext,
};
use delta_kernel_default_engine::stats::FileStatsAccumulator;
use parquet::arrow::ArrowWriter;
use std::{collections::HashMap, sync::Arc};
use streamsync_core::PartitionValues;

/// Rows are gathered to so many before they are encoded.
const BATCH_ROWS: usize = 16_384;

/// Turns rows of one partition, in the order of [`order`], into files. It blocks: encoding is work.
///
/// A row that agrees in the table's key with the row before it is the same row once more, and is
/// left out.
///
/// [`order`]: crate::tables::TableDefinition::order
pub struct SortedWriter {
    context: BoundWriteContext,
    /// The columns of a file: those of the table without the partition's.
    schema: SchemaRef,
    physical: StructType,
    key: Vec<usize>,
    filtered_by: &'static [&'static str],
    generation: u32,
    target_bytes: u64,
    gathered: BatchCoalescer,
    /// The last row that was written, for comparison with the next.
    last: Option<RecordBatch>,
    current: Option<Current>,
    finished: Vec<NewFile>,
    duplicates: u64,
}

struct Current {
    writer: ArrowWriter<Vec<u8>>,
    statistics: FileStatsAccumulator,
    rows: u64,
}

impl Table {
    /// A writer of files for one partition, each of about `target_bytes`, whose rows were rewritten
    /// `generation` times.
    pub async fn sorted_writer(
        &self,
        partition: &PartitionValues,
        generation: u32,
        target_bytes: u64,
    ) -> Result<SortedWriter, EncodeError> {
        let (table, partition) = (self.clone(), partition.clone());
        let engine = self.lake().engine();
        engine
            .run(move |engine| {
                let state = file_writer::write_state(engine, table.snapshot())?;
                let values = kernel_values(&table, &partition)?;
                let context = file_writer::write_context(&state, values)?;
                SortedWriter::new(&table, context, generation, target_bytes)
            })
            .await
    }
}

/// The values of a partition as the kernel has them.
pub(crate) fn kernel_values(
    table: &Table,
    partition: &PartitionValues,
) -> Result<HashMap<String, delta_kernel::expressions::Scalar>, EncodeError> {
    let schema = table.schema();
    let columns = table.partition_columns().iter();
    columns
        .map(|column| {
            let field = schema.field_with_name(column)?;
            let value = partition.get(column).cloned().flatten();
            let value = constant(field, value.as_deref(), 1)?;
            Ok((column.clone(), file_writer::kernel_scalar(&value, 0)?))
        })
        .collect()
}

impl SortedWriter {
    fn new(
        table: &Table,
        context: BoundWriteContext,
        generation: u32,
        target_bytes: u64,
    ) -> Result<Self, EncodeError> {
        let columns = table.schema();
        let in_file = columns.fields().iter().filter(|field| {
            let columns = table.partition_columns();
            !columns.contains(field.name())
        });
        let schema = Arc::new(Schema::new(in_file.cloned().collect::<Vec<_>>()));
        let definition = table.definition();
        let key = definition.map_or(&[][..], |definition| definition.key);
        let key = key
            .iter()
            .map(|column| schema.index_of(column))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            context,
            physical: StructType::try_from_arrow(&*schema).map_err(delta_kernel::Error::from)?,
            gathered: BatchCoalescer::new(Arc::clone(&schema), BATCH_ROWS),
            schema,
            key,
            filtered_by: definition.map_or(&[], |definition| definition.filtered_by),
            generation,
            target_bytes,
            last: None,
            current: None,
            finished: Vec::new(),
            duplicates: 0,
        })
    }

    /// Takes the next rows; columns are found by name. Returns the files that are complete.
    pub fn write(&mut self, rows: &RecordBatch) -> Result<Vec<NewFile>, EncodeError> {
        let columns = self.schema.fields().iter().map(|field| {
            let column = rows.column_by_name(field.name()).ok_or_else(|| {
                EncodeError::Rows(format!("the rows have no column `{}`", field.name()))
            })?;
            if column.data_type() == field.data_type() {
                return Ok(Arc::clone(column));
            }
            Ok(cast(column, field.data_type())?)
        });
        let columns = columns.collect::<Result<Vec<_>, EncodeError>>()?;
        let rows = RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| EncodeError::Rows(error.to_string()))?;
        self.gathered.push_batch(rows)?;
        self.encode()
    }

    /// The rest of the files, and how many rows were left out because they were there already.
    pub fn finish(mut self) -> Result<(Vec<NewFile>, u64), EncodeError> {
        self.gathered.finish_buffered_batch()?;
        let mut files = self.encode()?;
        self.close()?;
        files.append(&mut self.finished);
        Ok((files, self.duplicates))
    }

    fn encode(&mut self) -> Result<Vec<NewFile>, EncodeError> {
        while let Some(rows) = self.gathered.next_completed_batch() {
            let rows = self.once(rows)?;
            if rows.num_rows() == 0 {
                continue;
            }
            let current = match &mut self.current {
                Some(current) => current,
                None => self.current.insert(Current {
                    writer: ArrowWriter::try_new_with_options(
                        Vec::new(),
                        Arc::clone(&self.schema),
                        options(self.filtered_by)?,
                    )?,
                    statistics: FileStatsAccumulator::new(
                        self.context.stats_columns(),
                        &self.physical,
                    ),
                    rows: 0,
                }),
            };
            current.writer.write(&rows)?;
            current.statistics.merge(&rows)?;
            current.rows += rows.num_rows() as u64;
            let bytes = current.writer.bytes_written() + current.writer.in_progress_size();
            if bytes as u64 >= self.target_bytes {
                self.close()?;
            }
        }
        Ok(std::mem::take(&mut self.finished))
    }

    /// The rows that are not the row before them once more.
    fn once(&mut self, rows: RecordBatch) -> Result<RecordBatch, EncodeError> {
        if self.key.is_empty() || rows.num_rows() == 0 {
            return Ok(rows);
        }
        let key = rows.project(&self.key)?;
        let ranges = partition(key.columns())?.ranges();
        let repeated = match self.last.replace(key.slice(key.num_rows() - 1, 1)) {
            Some(last) => agree(&last, &key.slice(0, 1))?,
            None => false,
        };
        if ranges.len() == rows.num_rows() && !repeated {
            return Ok(rows);
        }
        let mut first = vec![false; rows.num_rows()];
        for range in ranges.iter().skip(usize::from(repeated)) {
            first[range.start] = true;
        }
        let kept = filter_record_batch(&rows, &BooleanArray::from(first))?;
        self.duplicates += (rows.num_rows() - kept.num_rows()) as u64;
        Ok(kept)
    }

    fn close(&mut self) -> Result<(), EncodeError> {
        let Some(current) = self.current.take() else {
            return Ok(());
        };
        let bytes = current.writer.into_inner()?;
        let Some(statistics) = current.statistics.finish()? else {
            return Ok(());
        };
        let file = describe(
            &self.context,
            &self.context.write_dir(),
            self.generation,
            bytes.into(),
            current.rows,
            statistics,
        )?;
        self.finished.push(file);
        Ok(())
    }
}

/// Whether two rows agree in all columns.
fn agree(one: &RecordBatch, other: &RecordBatch) -> Result<bool, EncodeError> {
    for (one, other) in one.columns().iter().zip(other.columns()) {
        if !not_distinct(one, other)?.value(0) {
            return Ok(false);
        }
    }
    Ok(true)
}
