//! Putting files of old partitions aside, where a bucket keeps them for less.

use crate::{
    AppendError, DataFile, EncodeError, NewFile, ReadFileError, StagedFile, Table, append,
    file_reader::{decode_each, fetch},
    file_writer::{describe, write_context, write_state},
    sorted_writer::kernel_values,
};
use bytes::Bytes;
use delta_kernel::{Engine, engine::arrow_conversion::TryFromArrow, schema::StructType};
use delta_kernel_default_engine::stats::FileStatsAccumulator;
use object_store::{Attribute, Attributes};

/// The folder of a table that archived files lie in, below which all is as in the table itself.
const FOLDER: &str = "archive/";

/// Why a file was not copied to the archive. Nothing refers to what may be there of it.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// It could not be read.
    #[error(transparent)]
    Read(#[from] ReadFileError),
    /// It could not be described to the table's log.
    #[error(transparent)]
    Encode(EncodeError),
    /// The copy could not be put into the bucket.
    #[error(transparent)]
    Put(#[from] Box<AppendError>),
}

impl<E: Into<EncodeError>> From<E> for ArchiveError {
    fn from(error: E) -> Self {
        Self::Encode(error.into())
    }
}

impl DataFile {
    /// Whether the file lies in the archive.
    pub fn is_archived(&self) -> bool {
        self.path.starts_with(FOLDER)
    }
}

impl Table {
    /// Puts a copy of a file into the table's folder `archive/`, with the storage class that is
    /// named; [`Table::replace`] puts it in the place of the file. The bytes are the same, and all of
    /// them are decoded before: what is damaged is not archived.
    ///
    /// # Errors
    ///
    /// See [`ArchiveError`]. A store that knows no storage classes refuses one.
    pub async fn stage_archived(
        &self,
        file: &DataFile,
        class: Option<&str>,
    ) -> Result<StagedFile, ArchiveError> {
        let bytes = fetch(self, file).await?;
        let (table, file) = (self.clone(), file.clone());
        let copied = self
            .lake()
            .engine()
            .run(move |engine| copy(engine, &table, &file, bytes));
        let copy = copied.await?;
        let attributes: Attributes = class
            .map(|class| (Attribute::StorageClass, class.to_owned()))
            .into_iter()
            .collect();
        append::put(self, &copy, attributes)
            .await
            .map_err(Box::new)?;
        Ok(StagedFile::of(copy))
    }
}

/// The file with these bytes and rows once more, in the archive.
fn copy(
    engine: &dyn Engine,
    table: &Table,
    file: &DataFile,
    bytes: Bytes,
) -> Result<NewFile, ArchiveError> {
    let schema = table.schema();
    let in_file: Vec<usize> = (0..schema.fields().len())
        .filter(|&index| {
            !table
                .partition_columns()
                .contains(schema.field(index).name())
        })
        .collect();
    let physical = StructType::try_from_arrow(&schema.project(&in_file)?)?;
    let values = kernel_values(table, &file.partition)?;
    let context = write_context(&write_state(engine, table.snapshot())?, values)?;
    let mut statistics = FileStatsAccumulator::new(context.stats_columns(), &physical);
    let rows = decode_each(bytes.clone(), &schema, file, |batch| {
        statistics.merge(&batch.project(&in_file)?)?;
        Ok::<(), ArchiveError>(())
    })?;
    let statistics = statistics
        .finish()?
        .ok_or_else(|| EncodeError::Rows(format!("file {} has no rows", file.path)))?;
    let folder = match file.path.rsplit_once('/') {
        Some((folder, _)) => format!("{FOLDER}{folder}/"),
        None => FOLDER.to_owned(),
    };
    let root = table.snapshot().table_root();
    let folder = root.join(&folder).map_err(delta_kernel::Error::from)?;
    let generation = file.generation();
    Ok(describe(
        &context, &folder, generation, bytes, rows, statistics,
    )?)
}
