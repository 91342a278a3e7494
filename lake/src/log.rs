//! The commits of a table, as its Delta log has them.
//!
//! The format is that of the [Delta protocol]: one object a commit,
//! `_delta_log/<version, 20 digits>.json`, with one action a line.
//!
//! [Delta protocol]: https://github.com/delta-io/delta/blob/master/PROTOCOL.md

use crate::{ColumnRange, Table, data_file::Statistics, lake::object_path};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, ObjectStoreExt, path::Path};
use serde::Deserialize;
use std::collections::BTreeMap;
use streamsync_core::{PartitionValues, TableName};

/// How many commits are read at the same time.
const AT_ONCE: usize = 16;

/// A commit that changed the rows of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct LogCommit {
    /// The version that it made.
    pub version: u64,
    /// The files that came with new rows.
    pub added: Vec<AddedRows>,
    /// Whether rows went.
    pub removed: bool,
}

/// New rows of a commit.
#[derive(Clone, Debug, PartialEq)]
pub struct AddedRows {
    /// The partition that they are in.
    pub partition: PartitionValues,
    /// What is known of their values, by column.
    pub columns: BTreeMap<String, ColumnRange>,
}

/// Why the log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadLogError {
    /// The bucket did not give it.
    #[error("could not read the log of table `{table}`")]
    Fetch {
        /// The table.
        table: TableName,
        /// The cause.
        #[source]
        source: object_store::Error,
    },
    /// A commit is not what the Delta protocol says.
    #[error("could not understand {path} of table `{table}`")]
    Malformed {
        /// The table.
        table: TableName,
        /// The commit.
        path: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
}

/// What concerns us of an action.
#[derive(Deserialize)]
struct Action {
    add: Option<Add>,
    remove: Option<Remove>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Add {
    #[serde(default)]
    partition_values: PartitionValues,
    data_change: bool,
    stats: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Remove {
    pub(crate) path: String,
    data_change: bool,
}

impl Table {
    /// The commits after a version, up to that of the table, that changed which rows there are, in
    /// their order; those that only keep the same rows otherwise are left out. `None` where some of
    /// them are no longer in the log.
    pub async fn changes_since(
        &self,
        version: u64,
    ) -> Result<Option<Vec<LogCommit>>, ReadLogError> {
        let log = self.log_path()?;
        let reads = (version + 1..=self.version()).map(|version| {
            let path = commit_path(&log, version);
            async move {
                match self.actions(&path).await {
                    Ok(actions) => Ok(Some(self.commit_of(version, actions))),
                    Err(ReadLogError::Fetch {
                        source: object_store::Error::NotFound { .. },
                        ..
                    }) => Ok(None),
                    Err(error) => Err(error),
                }
            }
        });
        let commits: Vec<Option<LogCommit>> =
            stream::iter(reads).buffered(AT_ONCE).try_collect().await?;
        let commits: Option<Vec<LogCommit>> = commits.into_iter().collect();
        Ok(commits.map(|mut commits| {
            commits.retain(|commit| commit.removed || !commit.added.is_empty());
            commits
        }))
    }

    fn commit_of(&self, version: u64, actions: Vec<Action>) -> LogCommit {
        let schema = self.schema();
        let mut commit = LogCommit {
            version,
            added: Vec::new(),
            removed: false,
        };
        for action in actions {
            if let Some(add) = action.add.filter(|add| add.data_change) {
                let stats = add.stats.as_deref().unwrap_or_default();
                commit.added.push(AddedRows {
                    partition: add
                        .partition_values
                        .into_iter()
                        // Delta writes NULL as the empty text too.
                        .map(|(column, value)| (column, value.filter(|text| !text.is_empty())))
                        .collect(),
                    columns: Statistics::parse(stats, &schema).columns,
                });
            }
            commit.removed |= action.remove.is_some_and(|remove| remove.data_change);
        }
        commit
    }

    /// The files that these commits have removed.
    pub(crate) async fn removed_by(&self, commits: &[Path]) -> Result<Vec<Remove>, ReadLogError> {
        let reads = commits.iter().map(|path| self.actions(path));
        let actions: Vec<Vec<Action>> = stream::iter(reads.collect::<Vec<_>>())
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let actions = actions.into_iter().flatten();
        Ok(actions.filter_map(|action| action.remove).collect())
    }

    async fn actions(&self, path: &Path) -> Result<Vec<Action>, ReadLogError> {
        let read = async { self.lake().store().get(path).await?.bytes().await };
        let text = read.await.map_err(|source| self.unread(source))?;
        serde_json::Deserializer::from_slice(&text)
            .into_iter()
            .collect::<Result<_, _>>()
            .map_err(|source| ReadLogError::Malformed {
                table: self.name().clone(),
                path: path.to_string(),
                source,
            })
    }

    /// The objects of the log, sorted by name.
    pub(crate) async fn log_objects(&self) -> Result<Vec<ObjectMeta>, ReadLogError> {
        let log = self.log_path()?;
        let mut objects: Vec<ObjectMeta> = self
            .lake()
            .store()
            .list(Some(&log))
            .try_collect()
            .await
            .map_err(|source| self.unread(source))?;
        objects.sort_by(|one, other| one.location.cmp(&other.location));
        Ok(objects)
    }

    pub(crate) fn root_path(&self) -> Result<Path, ReadLogError> {
        object_path(self.snapshot().table_root()).map_err(|source| self.unread(source))
    }

    fn log_path(&self) -> Result<Path, ReadLogError> {
        Ok(self.root_path()?.join("_delta_log"))
    }

    pub(crate) fn unread(&self, source: object_store::Error) -> ReadLogError {
        ReadLogError::Fetch {
            table: self.name().clone(),
            source,
        }
    }
}

fn commit_path(log: &Path, version: u64) -> Path {
    log.clone().join(format!("{version:020}.json"))
}

/// The version that an object of the log belongs to, and what comes after it in the name: `json`,
/// `crc`, `checkpoint.parquet`.
pub(crate) fn version_of(path: &Path) -> Option<(u64, &str)> {
    let (version, kind) = path.filename()?.split_once('.')?;
    let digits = version.len() == 20 && version.bytes().all(|byte| byte.is_ascii_digit());
    let version = digits.then(|| version.parse().ok()).flatten()?;
    Some((version, kind))
}
