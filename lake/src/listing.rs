//! Listing the files of a table from its log.

use crate::data_file::{DataFile, Statistics};
use arrow::{
    array::{Array, ArrayRef, AsArray, MapArray, RecordBatch, StructArray},
    datatypes::{Int64Type, Schema},
};
use delta_kernel::{
    DeltaResult, Engine, Error, FilteredEngineData, engine::arrow_data::ArrowEngineData,
    snapshot::SnapshotRef,
};
use std::{collections::BTreeMap, sync::Arc};
use streamsync_core::PartitionValues;

/// The table whose files are listed.
pub(crate) struct Listing<'a> {
    pub(crate) snapshot: &'a SnapshotRef,
    pub(crate) schema: &'a Schema,
    pub(crate) partition_columns: &'a [String],
}

impl Listing<'_> {
    /// The files of the snapshot, sorted by path. Where the files of an earlier version are known,
    /// and the log since it is there, only that is read.
    pub(crate) fn files(
        &self,
        engine: &dyn Engine,
        earlier: Option<(u64, Arc<Vec<DataFile>>)>,
    ) -> DeltaResult<Vec<DataFile>> {
        if let Some((version, files)) = earlier
            && version < self.snapshot.version()
            && let Some(files) = self.since(engine, version, &files)?
        {
            return Ok(files);
        }
        let scan = Arc::clone(self.snapshot)
            .scan_builder()
            .without_row_transforms()
            .build()?;
        let mut files = BTreeMap::new();
        for metadata in scan.scan_metadata(engine)? {
            let (batch, selected) = arrow_batch(metadata?.scan_files)?;
            let constant = structure(&batch, "fileConstantValues")?;
            self.collect(&batch.into(), &constant, &selected, &mut files)?;
        }
        Ok(files.into_values().collect())
    }

    /// The files of `version` changed by the commits since; `None` where those commits are no
    /// longer at hand.
    fn since(
        &self,
        engine: &dyn Engine,
        version: u64,
        known: &[DataFile],
    ) -> DeltaResult<Option<Vec<DataFile>>> {
        let builder = Arc::clone(self.snapshot).incremental_scan_builder(version);
        let Some(mut commits) = builder.build(engine)? else {
            return Ok(None);
        };
        let mut added = BTreeMap::new();
        for batch in commits.by_ref() {
            let (batch, selected) = arrow_batch(batch?)?;
            let add = structure(&batch, "add")?;
            self.collect(&add, &add, &selected, &mut added)?;
        }
        let summary = commits.into_summary()?;
        let mut files: BTreeMap<_, _> = known
            .iter()
            .map(|file| (file.path.clone(), file.clone()))
            .collect();
        for gone in &summary.removes {
            files.remove(gone.path());
        }
        files.extend(added);
        Ok(Some(files.into_values().collect()))
    }

    /// Takes the selected rows: `file` has `path`, `size`, `stats` and `deletionVector`,
    /// `constant` has `partitionValues`.
    fn collect(
        &self,
        file: &StructArray,
        constant: &StructArray,
        selected: &[bool],
        files: &mut BTreeMap<String, DataFile>,
    ) -> DeltaResult<()> {
        let path = column(file, "path", |column| column.as_string_opt::<i32>())?;
        let size = column(file, "size", |column| {
            column.as_primitive_opt::<Int64Type>()
        })?;
        let statistics = column(file, "stats", |column| column.as_string_opt::<i32>())?;
        let deletions = column(file, "deletionVector", Some)?;
        let values = column(constant, "partitionValues", |column| column.as_map_opt())?;
        for row in 0..file.len() {
            // The kernel leaves trailing `true`s out of a selection.
            if !selected.get(row).copied().unwrap_or(true) || path.is_null(row) {
                continue;
            }
            let path = path.value(row).to_owned();
            if deletions.is_valid(row) {
                return Err(Error::unsupported(format!(
                    "file {path} has a deletion vector: rewrite the table without"
                )));
            }
            let size = u64::try_from(size.value(row)).map_err(|_| {
                Error::generic(format!("file {path} has a negative size in the log"))
            })?;
            let known = if statistics.is_valid(row) {
                Statistics::parse(statistics.value(row), self.schema)
            } else {
                Statistics::default()
            };
            let file = DataFile {
                path: path.clone(),
                size,
                rows: known.rows,
                partition: self.partition(values, row)?,
                columns: known.columns,
            };
            files.insert(path, file);
        }
        Ok(())
    }

    fn partition(&self, values: &MapArray, row: usize) -> DeltaResult<PartitionValues> {
        let mut partition: PartitionValues = self
            .partition_columns
            .iter()
            .map(|column| (column.clone(), None))
            .collect();
        if values.is_valid(row) {
            let entries = values.value(row);
            let texts = |index: usize| {
                entries
                    .column(index)
                    .as_string_opt::<i32>()
                    .ok_or_else(|| Error::missing_column("partitionValues"))
            };
            let (names, texts) = (texts(0)?, texts(1)?);
            for (name, text) in names.iter().zip(texts) {
                if let Some(name) = name {
                    // Delta writes NULL as the empty text too.
                    let text = text.filter(|text| !text.is_empty());
                    partition.insert(name.to_owned(), text.map(str::to_owned));
                }
            }
        }
        Ok(partition)
    }
}

fn arrow_batch(data: FilteredEngineData) -> DeltaResult<(RecordBatch, Vec<bool>)> {
    let (data, selected) = data.into_parts();
    let batch = ArrowEngineData::try_from_engine_data(data)?;
    Ok((batch.into(), selected))
}

fn structure(batch: &RecordBatch, name: &str) -> DeltaResult<StructArray> {
    batch
        .column_by_name(name)
        .and_then(|column| column.as_struct_opt())
        .cloned()
        .ok_or_else(|| Error::missing_column(name))
}

fn column<'a, A>(
    columns: &'a StructArray,
    name: &str,
    as_type: impl Fn(&'a ArrayRef) -> Option<A>,
) -> DeltaResult<A> {
    columns
        .column_by_name(name)
        .and_then(as_type)
        .ok_or_else(|| Error::missing_column(name))
}
