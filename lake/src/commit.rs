//! Delta commits: one attempt, and the loop around it until it is the next version.

use crate::{
    Coverage, CoverageError, OpenTableError, TransactionId,
    engine::{is_request, plain},
    file_name,
    open::Parts,
    table::{COVERAGE_DOMAIN, ENGINE_INFO, Table},
};
use arrow::{
    array::{Array, AsArray, RecordBatch, StringArray},
    compute::min,
    datatypes::{DataType, Field, Int64Type, Schema},
};
use delta_kernel::{
    DeltaResult, Engine, Error, FilteredEngineData,
    committer::FileSystemCommitter,
    engine::{arrow_conversion::TryFromArrow, arrow_data::ArrowEngineData},
    schema::StructType,
    transaction::CommitResult,
};
use object_store::{ObjectStoreExt, path::Path};
use std::{
    collections::BTreeSet, error::Error as StdError, ops::ControlFlow, sync::Arc, time::Duration,
};
use streamsync_core::TableName;
use uuid::Uuid;

/// The field of a commit's `commitInfo` that holds the identifier of the commit.
const COMMIT_FIELD: &str = "streamsyncAppend";
/// Every conflict is another writer's success, so this many in a row mean that there are too many
/// writers.
const MAX_CONFLICTS: u32 = 60;
/// How often a commit of which nothing is known is tried again.
const MAX_UNKNOWN: u32 = 3;
/// For how long after its first file was made a commit may be made. Vacuum deletes files that no version
/// names once they are older than what is promised, a day by default, and would take those of a writer that
/// was stalled for so long.
const FILES_FRESH_FOR: Duration = Duration::from_secs(6 * 3_600);

/// What a commit says.
#[derive(Debug, Default)]
pub(crate) struct Commit {
    /// What Delta calls it: `WRITE`, `OPTIMIZE`, `DELETE`.
    pub(crate) operation: &'static str,
    /// The new files, one row each.
    pub(crate) adds: Vec<RecordBatch>,
    /// The paths of files that are no longer part of the table.
    pub(crate) removes: BTreeSet<String>,
    /// Whether the rows are others than before, and not only kept otherwise.
    pub(crate) data_change: bool,
    pub(crate) transaction: Option<TransactionId>,
    /// What the table covers from this commit on, if that changes.
    pub(crate) coverage: Option<Coverage>,
    /// Domain metadata from this commit on.
    pub(crate) domains: Vec<(String, String)>,
}

/// Why a commit was not made. Except for [`CommitError::Unknown`], the table is as it was.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The newest version of the table could not be read.
    #[error("could not read the newest version of the table before committing to it")]
    Open(#[from] OpenTableError),
    /// What the newest version covers could not be read.
    #[error("could not read what the table covers before committing to it")]
    Coverage(#[from] CoverageError),
    /// The table does not take such a commit.
    #[error("could not commit to table `{table}`: it does not take the commit")]
    Refused {
        /// The table.
        table: TableName,
        /// The cause.
        #[source]
        source: Box<delta_kernel::Error>,
    },
    /// Other writers were faster every time.
    #[error(
        "could not commit to table `{table}`: other writers were faster {conflicts} times; write \
         less often, and more at once"
    )]
    Conflicts {
        /// The table.
        table: TableName,
        /// How many times.
        conflicts: u32,
    },
    /// The files were made so long ago that a vacuum may have deleted them.
    #[error(
        "could not commit to table `{table}`: its files were made {} minutes ago, and may have been \
         deleted as files that nobody needs; do the same again", age.as_secs() / 60
    )]
    Late {
        /// The table.
        table: TableName,
        /// How long ago the first of them was made.
        age: Duration,
    },
    /// The commit failed, and it cannot be told whether it was made.
    #[error(
        "could not tell whether the commit to table `{table}` was made: do the same again to find \
         out"
    )]
    Unknown {
        /// The table.
        table: TableName,
        /// The cause.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
}

/// A change of a table that can be put on top of whatever version is the newest.
pub(crate) trait Change {
    /// Why there is nothing to commit any more.
    type Ended;
    type Error: From<CommitError>;

    /// Whether, as the table now is, there is nothing to commit any more.
    async fn is_over(&self, newest: &Table) -> Result<Option<Self::Ended>, Self::Error>;

    /// The commit that makes the version after this one.
    async fn commit(&self, newest: &Table) -> Result<Commit, Self::Error>;
}

/// Commits a change to the newest version of the table, whichever that is by then; or tells why the
/// change is over. A conflict is tried again, after a pause that is different for each writer.
pub(crate) async fn commit<C: Change>(
    mut newest: Table,
    change: &C,
) -> Result<ControlFlow<C::Ended, Table>, C::Error> {
    let name = newest.name().clone();
    let unknown_outcome = |error: Box<dyn StdError + Send + Sync>| CommitError::Unknown {
        table: name.clone(),
        source: error,
    };
    let id = file_name::unique();
    let (mut conflicts, mut unknown) = (0, 0);
    loop {
        let attempt = Arc::new((change.commit(&newest).await?, newest.clone()));
        let age = attempt.0.age();
        if age > FILES_FRESH_FOR {
            let table = name.clone();
            let late = CommitError::Late { table, age };
            return Err(match unknown {
                0 => late,
                _ => unknown_outcome(late.into()),
            }
            .into());
        }
        let version = newest.version() + 1;
        let attempting = Arc::clone(&attempt);
        let engine = newest.lake().engine();
        let failure = match engine
            .run(move |engine| attempting.0.attempt(engine, &attempting.1, id))
            .await
        {
            Attempt::Committed(parts) => {
                let coverage = attempt.0.coverage.clone();
                return Ok(ControlFlow::Continue(newest.after_commit(parts, coverage)));
            }
            Attempt::Conflict => None,
            Attempt::Unknown(error) => Some(error),
        };
        newest = newest
            .refresh()
            .await
            .map_err(|error| unknown_outcome(error.into()))?;
        if newest.version() >= version {
            let ours = is_version(&newest, version, id).await;
            if ours.map_err(|error| unknown_outcome(error.into()))? {
                return Ok(ControlFlow::Continue(newest));
            }
            conflicts += 1;
            unknown = 0;
        } else {
            match failure {
                // It was not even asked for.
                Some(error) if unknown == 0 && !is_request(&error) => {
                    return Err(CommitError::Refused {
                        table: name,
                        source: plain(error),
                    }
                    .into());
                }
                Some(error) if unknown == MAX_UNKNOWN => {
                    return Err(unknown_outcome(plain(error)).into());
                }
                None if unknown == MAX_UNKNOWN => {
                    return Err(unknown_outcome(NotListed { version }.into()).into());
                }
                // The commit may still be on its way into the log.
                _ => unknown += 1,
            }
        }
        if conflicts > MAX_CONFLICTS {
            return Err(CommitError::Conflicts {
                table: name,
                conflicts,
            }
            .into());
        }
        tokio::time::sleep(pause(id, conflicts + unknown)).await;
        if unknown == 0
            && let Some(over) = change.is_over(&newest).await?
        {
            return Ok(ControlFlow::Break(over));
        }
    }
}

/// A version that the bucket has when it is written, and has not when it is listed.
#[derive(Debug, thiserror::Error)]
#[error("version {version} exists in the bucket but is not listed")]
struct NotListed {
    version: u64,
}

/// How long to wait before the next attempt: longer each time, and different for each writer,
/// taken from the random part of the commit's identifier.
fn pause(id: Uuid, attempt: u32) -> Duration {
    let longest = 20_u64 << attempt.min(5);
    let random = id.as_u128().rotate_right(attempt * 7) as u64;
    Duration::from_millis(random % longest)
}

/// What became of an attempt.
enum Attempt {
    Committed(Parts),
    /// The version exists; most likely someone else wrote it.
    Conflict,
    /// There was an error, before or after the version was written.
    Unknown(Error),
}

impl Commit {
    /// How long ago the first of its new files was made.
    fn age(&self) -> Duration {
        let made = self.adds.iter().filter_map(|add| {
            let made = add.column_by_name("modificationTime")?;
            min(made.as_primitive_opt::<Int64Type>()?)
        });
        let now = file_name::unix_millis(file_name::unique());
        let age = made.min().map_or(0, |first| now.saturating_sub(first));
        Duration::from_millis(u64::try_from(age).unwrap_or_default())
    }

    /// Tries to make this the version after the table's. Blocks.
    fn attempt(&self, engine: &dyn Engine, table: &Table, id: Uuid) -> Attempt {
        match self.commit(engine, table, id) {
            Ok(CommitResult::Committed(committed)) => match committed.post_commit_snapshot() {
                Some(snapshot) => match Parts::of(Arc::clone(snapshot)) {
                    Ok(parts) => Attempt::Committed(parts),
                    Err(error) => Attempt::Unknown(error),
                },
                None => Attempt::Conflict,
            },
            Ok(CommitResult::Conflicted(_)) => Attempt::Conflict,
            Ok(CommitResult::Retryable(failed)) => Attempt::Unknown(failed.error),
            Err(error) => Attempt::Unknown(error),
        }
    }

    fn commit(&self, engine: &dyn Engine, table: &Table, id: Uuid) -> DeltaResult<CommitResult> {
        let info = Schema::new(vec![Field::new(COMMIT_FIELD, DataType::Utf8, false)]);
        let info_schema = Arc::new(StructType::try_from_arrow(&info)?);
        let id = StringArray::from(vec![id.to_string()]);
        let info = RecordBatch::try_new(Arc::new(info), vec![Arc::new(id)])?;
        let mut transaction = Arc::clone(table.snapshot())
            .transaction(Box::new(FileSystemCommitter::new()), engine)?
            .with_operation(self.operation.to_owned())
            .with_engine_info(ENGINE_INFO)
            .with_commit_info(Box::new(ArrowEngineData::new(info)), info_schema)
            .with_data_change(self.data_change);
        if let Some(TransactionId { app_id, version }) = &self.transaction {
            transaction = transaction.with_transaction_id(app_id.clone(), *version);
        }
        if let Some(coverage) = &self.coverage {
            transaction =
                transaction.with_domain_metadata(COVERAGE_DOMAIN.to_owned(), coverage.to_string());
        }
        for (domain, configuration) in &self.domains {
            transaction = transaction.with_domain_metadata(domain.clone(), configuration.clone());
        }
        for add in &self.adds {
            transaction.add_files(Box::new(ArrowEngineData::new(add.clone())));
        }
        for removed in self.removed(engine, table)? {
            transaction.remove_files(removed);
        }
        transaction.commit(engine)
    }

    /// What the kernel knows of the files that go.
    fn removed(&self, engine: &dyn Engine, table: &Table) -> DeltaResult<Vec<FilteredEngineData>> {
        if self.removes.is_empty() {
            return Ok(Vec::new());
        }
        let scan = Arc::clone(table.snapshot()).scan_builder().build()?;
        let (mut batches, mut found) = (Vec::new(), 0);
        for metadata in scan.scan_metadata(engine)? {
            let (data, mut selected) = metadata?.scan_files.into_parts();
            let rows: RecordBatch = ArrowEngineData::try_from_engine_data(data)?.into();
            let paths = rows
                .column_by_name("path")
                .and_then(|paths| paths.as_string_opt::<i32>())
                .ok_or_else(|| Error::missing_column("path"))?;
            // The kernel leaves trailing `true`s out of a selection.
            selected.resize(rows.num_rows(), true);
            let mut any = false;
            for (row, selected) in selected.iter_mut().enumerate() {
                *selected &= paths.is_valid(row) && self.removes.contains(paths.value(row));
                found += usize::from(*selected);
                any |= *selected;
            }
            if any {
                let data = Box::new(ArrowEngineData::new(rows));
                batches.push(FilteredEngineData::try_new(data, selected)?);
            }
        }
        if found != self.removes.len() {
            return Err(Error::generic(format!(
                "{} of the {} files to remove are not in the table",
                self.removes.len() - found,
                self.removes.len()
            )));
        }
        Ok(batches)
    }
}

/// Whether that version of the table is the commit of this identifier. A request that is sent again
/// after its answer was lost finds its own object there, and looks like a conflict.
async fn is_version(table: &Table, version: u64, id: Uuid) -> Result<bool, object_store::Error> {
    let root = Path::from_url_path(table.snapshot().table_root().path())?;
    let path = root.join("_delta_log").join(format!("{version:020}.json"));
    let text = table.lake().store().get(&path).await?.bytes().await?;
    let id = id.to_string();
    Ok(text.windows(id.len()).any(|bytes| bytes == id.as_bytes()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::Lake;
    use arrow::array::Int64Array;
    use streamsync_core::config::BucketConfig;

    /// A change that adds a file of so long ago.
    struct Adding(Duration);

    impl Change for Adding {
        type Ended = ();
        type Error = CommitError;

        async fn is_over(&self, _newest: &Table) -> Result<Option<()>, CommitError> {
            Ok(None)
        }

        async fn commit(&self, _newest: &Table) -> Result<Commit, CommitError> {
            let now = file_name::unix_millis(file_name::unique());
            let made = now - i64::try_from(self.0.as_millis()).unwrap();
            let made = Arc::new(Int64Array::from(vec![made])) as _;
            let add = RecordBatch::try_from_iter([("modificationTime", made)]).unwrap();
            Ok(Commit {
                operation: "WRITE",
                adds: vec![add],
                ..Commit::default()
            })
        }
    }

    #[tokio::test]
    async fn files_of_long_ago_are_not_committed() {
        let bucket = BucketConfig {
            url: "memory:///files_of_long_ago".to_owned(),
            ..BucketConfig::default()
        };
        let lake = Lake::open(&bucket).unwrap();
        lake.create_tables().await.unwrap();
        let table = lake.table(&"blocks".parse().unwrap()).await.unwrap();
        let minute = Duration::from_secs(60);
        let late = commit(table.clone(), &Adding(FILES_FRESH_FOR + minute)).await;
        let Err(CommitError::Late { age, .. }) = late else {
            panic!("{late:?}");
        };
        assert!(age >= FILES_FRESH_FOR + minute, "{age:?}");
        assert_eq!(table.refresh().await.unwrap().version(), table.version());
        // What the kernel then says of a file without a path is another matter.
        let fresh = commit(table, &Adding(FILES_FRESH_FOR - minute)).await;
        assert!(!matches!(fresh, Err(CommitError::Late { .. })), "{fresh:?}");
    }
}
