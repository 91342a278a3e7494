//! Reading parts of one file: some rows, some columns.

use crate::{
    ColumnRange, Constraint, ConstraintOp, DataFile, ReadFileError, Scalar, Table,
    file_reader::{object_path, with_partition},
    prune::may_meet,
};
use arrow::{
    array::{Array, ArrayRef},
    compute::concat_batches,
    datatypes::SchemaRef,
    record_batch::RecordBatch,
};
use futures::{Stream, StreamExt, TryStreamExt};
use object_store::{ObjectStore, local::LocalFileSystem, path::Path};
use parquet::{
    arrow::{
        ParquetRecordBatchStreamBuilder, ProjectionMask,
        arrow_reader::{
            ArrowReaderMetadata, ArrowReaderOptions, RowSelection, RowSelector,
            statistics::StatisticsConverter,
        },
        async_reader::ParquetObjectReader,
    },
    errors::ParquetError,
    file::metadata::PageIndexPolicy,
};
use std::{ops::Range, sync::Arc};

/// How much of the end of a file is fetched at once in search of its footer.
const FOOTER_HINT: usize = 64 << 10;

/// A file whose footer and page index are in memory, so that any part of it can be read with
/// requests for that part alone. Cheap to clone.
#[derive(Clone)]
pub struct OpenFile {
    footer: Arc<Footer>,
    store: Arc<dyn ObjectStore>,
    path: Path,
}

struct Footer {
    /// The table's columns.
    schema: SchemaRef,
    file: DataFile,
    metadata: ArrowReaderMetadata,
    pages: Vec<Page>,
}

/// Rows of a file that are read together: a page of the column that the file is sorted by, or a
/// whole row group where the file has no page index.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The row group.
    pub row_group: usize,
    /// The rows, counted from the start of the row group.
    pub rows: Range<usize>,
    /// A lower bound of the sort column's values, if one is known.
    pub min: Option<Scalar>,
    /// An upper bound of the sort column's values, if one is known.
    pub max: Option<Scalar>,
}

impl Page {
    /// Whether some row of the page may have this value in the sort column.
    pub fn may_hold(&self, value: &Scalar) -> bool {
        let below = |bound: &Scalar| bound.partial_cmp(value).is_none_or(|order| order.is_le());
        let above = |bound: &Scalar| bound.partial_cmp(value).is_none_or(|order| order.is_ge());
        self.min.as_ref().is_none_or(below) && self.max.as_ref().is_none_or(above)
    }

    /// Whether some row of the page may meet the condition on the sort column.
    pub fn may_meet(&self, op: &ConstraintOp) -> bool {
        let known = ColumnRange {
            min: self.min.clone(),
            max: self.max.clone(),
            nulls: None,
        };
        may_meet(&known, op)
    }
}

impl Table {
    /// Fetches the footer and the page index of a file.
    ///
    /// # Errors
    ///
    /// A file that is missing, or is not Parquet, or has not the rows that the log says.
    pub async fn open_file(&self, file: &DataFile) -> Result<OpenFile, ReadFileError> {
        let path = object_path(self, file)?;
        self.open_at(file, Arc::clone(self.lake().store()), path)
            .await
    }

    /// As [`open_file`](Self::open_file), but takes the footer from a copy of the file on the local
    /// disk, whose path is absolute.
    pub async fn open_copy(
        &self,
        file: &DataFile,
        copy: &std::path::Path,
    ) -> Result<OpenFile, ReadFileError> {
        self.open_at(file, Arc::new(LocalFileSystem::new()), local(copy)?)
            .await
    }

    async fn open_at(
        &self,
        file: &DataFile,
        store: Arc<dyn ObjectStore>,
        path: Path,
    ) -> Result<OpenFile, ReadFileError> {
        let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
        let mut reader = ParquetObjectReader::new(store, path)
            .with_file_size(file.size)
            .with_footer_size_hint(FOOTER_HINT);
        let metadata = ArrowReaderMetadata::load_async(&mut reader, options)
            .await
            .map_err(|source| ReadFileError::Parquet {
                path: file.path.clone(),
                source,
            })?;
        let found = u64::try_from(metadata.metadata().file_metadata().num_rows());
        let found = found.unwrap_or_default();
        if let Some(expected) = file.rows.filter(|expected| *expected != found) {
            return Err(ReadFileError::Rows {
                path: file.path.clone(),
                expected,
                found,
            });
        }
        let sort_column = self
            .definition()
            .and_then(|definition| definition.sort_by.first())
            .copied();
        let pages = pages(&metadata, sort_column).map_err(|source| ReadFileError::Parquet {
            path: file.path.clone(),
            source,
        })?;
        let footer = Footer {
            schema: self.schema(),
            file: file.clone(),
            metadata,
            pages,
        };
        Ok(OpenFile {
            footer: Arc::new(footer),
            store: Arc::clone(self.lake().store()),
            path: object_path(self, file)?,
        })
    }
}

impl OpenFile {
    /// The same file, read from a copy on the local disk, whose path is absolute.
    pub fn copied_to(&self, copy: &std::path::Path) -> Result<Self, ReadFileError> {
        Ok(Self {
            footer: Arc::clone(&self.footer),
            store: Arc::new(LocalFileSystem::new()),
            path: local(copy)?,
        })
    }

    /// What the log says of the file.
    pub fn file(&self) -> &DataFile {
        &self.footer.file
    }

    /// The columns of the table.
    pub fn schema(&self) -> &SchemaRef {
        &self.footer.schema
    }

    /// The file's rows in the order of the file, page by page.
    pub fn pages(&self) -> &[Page] {
        &self.footer.pages
    }

    /// The memory that the footer and the page index take, in bytes.
    pub fn memory_size(&self) -> usize {
        self.footer.metadata.metadata().memory_size() + self.footer.pages.len() * size_of::<Page>()
    }

    /// Whether the file itself holds a column; one that it lacks is the partition's, or NULL.
    pub fn holds(&self, column: &str) -> bool {
        self.footer
            .metadata
            .schema()
            .field_with_name(column)
            .is_ok()
    }

    /// The bytes that the columns take that `wanted` picks by name.
    pub fn bytes_of(&self, wanted: impl Fn(&str) -> bool) -> u64 {
        let metadata = self.footer.metadata.metadata();
        let groups = metadata.row_groups().iter();
        groups
            .flat_map(|group| group.columns())
            .filter(|column| {
                let root = column.column_path().parts().first();
                root.is_some_and(|root| wanted(root))
            })
            .map(|column| u64::try_from(column.compressed_size()).unwrap_or(0))
            .sum()
    }

    /// The row groups whose pages may hold a row that meets all the constraints, as far as those are
    /// about the column that the file is sorted by.
    pub fn row_groups(&self, sort_column: Option<&str>, constraints: &[Constraint]) -> Vec<usize> {
        let about: Vec<&Constraint> = constraints
            .iter()
            .filter(|constraint| Some(constraint.column.as_str()) == sort_column)
            .collect();
        let mut groups: Vec<usize> = self
            .pages()
            .iter()
            .filter(|page| about.iter().all(|one| page.may_meet(&one.op)))
            .map(|page| page.row_group)
            .collect();
        groups.dedup();
        groups
    }

    /// The rows of one page, with all columns of the table.
    pub async fn read(&self, page: &Page) -> Result<RecordBatch, ReadFileError> {
        let skipped = page.rows.start;
        let selection = RowSelection::from(vec![
            RowSelector::skip(skipped),
            RowSelector::select(page.rows.len()),
        ]);
        let rows = self
            .builder()
            .with_batch_size(page.rows.len().max(1))
            .with_row_groups(vec![page.row_group])
            .with_row_selection(selection)
            .build()
            .map_err(|source| self.damaged(source))?;
        let batches: Vec<RecordBatch> = rows
            .map_err(|source| self.damaged(source))
            .and_then(async |batch| self.in_table(&batch, &self.footer.schema))
            .try_collect()
            .await?;
        match batches.as_slice() {
            [one] => Ok(one.clone()),
            many => {
                concat_batches(&self.footer.schema, many).map_err(|source| self.columns(source))
            }
        }
    }

    /// The rows of some row groups, batch by batch, with the table's columns at these indices. Only
    /// those columns are fetched.
    pub fn stream(
        &self,
        row_groups: Vec<usize>,
        columns: &[usize],
        batch_rows: usize,
    ) -> Result<impl Stream<Item = Result<RecordBatch, ReadFileError>> + Send + use<>, ReadFileError>
    {
        let schema = Arc::new(
            self.footer
                .schema
                .project(columns)
                .map_err(|source| self.columns(source))?,
        );
        let names = schema.fields().iter().map(|field| field.name().as_str());
        let mask = ProjectionMask::columns(self.footer.metadata.parquet_schema(), names);
        let rows = self
            .builder()
            .with_batch_size(batch_rows)
            .with_row_groups(row_groups)
            .with_projection(mask)
            .build()
            .map_err(|source| self.damaged(source))?;
        let file = self.clone();
        Ok(rows.map(move |batch| {
            let batch = batch.map_err(|source| file.damaged(source))?;
            file.in_table(&batch, &schema)
        }))
    }

    fn builder(&self) -> ParquetRecordBatchStreamBuilder<ParquetObjectReader> {
        let reader = ParquetObjectReader::new(Arc::clone(&self.store), self.path.clone())
            .with_file_size(self.footer.file.size);
        ParquetRecordBatchStreamBuilder::new_with_metadata(reader, self.footer.metadata.clone())
    }

    fn in_table(
        &self,
        batch: &RecordBatch,
        schema: &SchemaRef,
    ) -> Result<RecordBatch, ReadFileError> {
        with_partition(batch, schema, &self.footer.file.partition)
            .map_err(|source| self.columns(source))
    }

    fn damaged(&self, source: ParquetError) -> ReadFileError {
        ReadFileError::Parquet {
            path: self.footer.file.path.clone(),
            source,
        }
    }

    fn columns(&self, source: arrow::error::ArrowError) -> ReadFileError {
        ReadFileError::Columns {
            path: self.footer.file.path.clone(),
            source,
        }
    }
}

fn local(path: &std::path::Path) -> Result<Path, ReadFileError> {
    Path::from_absolute_path(path).map_err(|_| ReadFileError::Path {
        path: path.display().to_string(),
    })
}

/// The pages of the sort column, with their bounds.
fn pages(
    metadata: &ArrowReaderMetadata,
    sort_column: Option<&str>,
) -> Result<Vec<Page>, ParquetError> {
    let parquet = metadata.metadata();
    let Some(name) = sort_column.filter(|name| metadata.schema().field_with_name(name).is_ok())
    else {
        return Ok(whole_groups(metadata, &[], &[]));
    };
    let statistics =
        StatisticsConverter::try_new(name, metadata.schema(), metadata.parquet_schema())?;
    let column = statistics.parquet_column_index();
    let (Some(columns), Some(offsets), Some(column)) =
        (parquet.column_index(), parquet.offset_index(), column)
    else {
        let mins = scalars(&statistics.row_group_mins(parquet.row_groups())?);
        let maxes = scalars(&statistics.row_group_maxes(parquet.row_groups())?);
        return Ok(whole_groups(metadata, &mins, &maxes));
    };
    let groups: Vec<usize> = (0..parquet.num_row_groups()).collect();
    let mut mins = scalars(&statistics.data_page_mins(columns, offsets, &groups)?).into_iter();
    let mut maxes = scalars(&statistics.data_page_maxes(columns, offsets, &groups)?).into_iter();
    let mut pages = Vec::new();
    for group in groups {
        let locations = offsets[group][column].page_locations();
        let starts = locations.iter().map(|page| rows(page.first_row_index));
        let end = rows(parquet.row_group(group).num_rows());
        let ends = starts.clone().skip(1).chain([end]);
        pages.extend(starts.zip(ends).map(|(start, end)| Page {
            row_group: group,
            rows: start..end,
            min: mins.next().flatten(),
            max: maxes.next().flatten(),
        }));
    }
    Ok(pages)
}

fn whole_groups(
    metadata: &ArrowReaderMetadata,
    mins: &[Option<Scalar>],
    maxes: &[Option<Scalar>],
) -> Vec<Page> {
    let bound = |bounds: &[Option<Scalar>], group: usize| bounds.get(group).cloned().flatten();
    let groups = metadata.metadata().row_groups().iter().enumerate();
    groups
        .map(|(row_group, group)| Page {
            row_group,
            rows: 0..rows(group.num_rows()),
            min: bound(mins, row_group),
            max: bound(maxes, row_group),
        })
        .collect()
}

fn rows(count: i64) -> usize {
    usize::try_from(count).unwrap_or_default()
}

fn scalars(values: &ArrayRef) -> Vec<Option<Scalar>> {
    let rows = 0..values.len();
    rows.map(|row| Scalar::from_array(values.as_ref(), row))
        .collect()
}
