//! Deleting what no version needs: files that no snapshot names, and the log before a checkpoint.

use crate::{
    ListFilesError, OpenTableError, Table,
    file_reader::object_path,
    log::{ReadLogError, version_of},
};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectMeta, path::Path};
use std::{collections::HashSet, time::Duration};
use streamsync_core::TableName;
use url::Url;

/// Objects that nobody needs any more.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Unneeded {
    /// Their paths in the bucket and their sizes in bytes.
    pub objects: Vec<(String, u64)>,
}

impl Unneeded {
    /// What they take, in bytes.
    pub fn bytes(&self) -> u64 {
        self.objects.iter().map(|(_, size)| size).sum()
    }
}

/// Why it could not be told what is unneeded, or why that could not be deleted. What was deleted
/// before is gone, and was needed by nobody.
#[derive(Debug, thiserror::Error)]
pub enum VacuumError {
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] ReadLogError),
    /// The newest version could not be opened.
    #[error("could not open the newest version of the table to tell which files it names")]
    Open(#[from] OpenTableError),
    /// The files of the newest version could not be listed.
    #[error("could not tell which files the newest version of the table names")]
    List(#[from] ListFilesError),
    /// The bucket did not list its objects.
    #[error("could not list the objects of table `{table}`")]
    Objects {
        /// The table.
        table: TableName,
        /// The cause.
        #[source]
        source: object_store::Error,
    },
    /// An object could not be deleted.
    #[error("could not delete {path} of table `{table}`")]
    Delete {
        /// The table.
        table: TableName,
        /// The object.
        path: String,
        /// The cause.
        #[source]
        source: object_store::Error,
    },
}

impl Table {
    /// The data files that no snapshot names which was the newest at any time since
    /// `now_ms - promise`, and that were put into the bucket before that.
    ///
    /// Kept are the files of the newest version, those that a commit since then removed, and all
    /// that are younger: an append that is under way has files that no version names yet.
    ///
    /// `now_ms` is in milliseconds since 1970, by the clock of the bucket; a clock that is ahead
    /// shortens the promise by as much.
    pub async fn unneeded_files(
        &self,
        now_ms: u64,
        promise: Duration,
    ) -> Result<Unneeded, VacuumError> {
        let before = since(now_ms, promise);
        let root = self.root_path()?;
        // Before the newest version is opened: what is committed in between is then seen there.
        let mut objects: Vec<ObjectMeta> = self
            .lake()
            .store()
            .list(Some(&root))
            .try_filter(|object| {
                let old = object.last_modified.timestamp_millis() < before;
                std::future::ready(old && is_data(&root, &object.location))
            })
            .try_collect()
            .await
            .map_err(|source| VacuumError::Objects {
                table: self.name().clone(),
                source,
            })?;
        let newest = self.refresh().await?;
        let files = newest.files().await?;
        let named: HashSet<Path> = files
            .iter()
            .filter_map(|file| object_path(&newest, file).ok())
            .collect();
        objects.retain(|object| !named.contains(&object.location));
        if objects.is_empty() {
            return Ok(Unneeded::default());
        }
        let recent: Vec<Path> = newest
            .log_objects()
            .await?
            .into_iter()
            .filter(|object| object.last_modified.timestamp_millis() >= before)
            .filter(|object| matches!(version_of(&object.location), Some((_, "json"))))
            .map(|object| object.location)
            .collect();
        let removed = newest.removed_by(&recent).await?;
        let removed: HashSet<Path> = removed
            .iter()
            .filter_map(|remove| path_of(newest.snapshot().table_root(), &remove.path))
            .collect();
        objects.retain(|object| !removed.contains(&object.location));
        Ok(unneeded(objects))
    }

    /// The part of the log that nobody needs who opens a version that was the newest at any time
    /// since `now_ms - promise`: everything before the last checkpoint that is not after those.
    pub async fn unneeded_log(
        &self,
        now_ms: u64,
        promise: Duration,
    ) -> Result<Unneeded, VacuumError> {
        let before = since(now_ms, promise);
        let objects = self.log_objects().await?;
        let commits = objects.iter().filter_map(|object| {
            let (version, kind) = version_of(&object.location)?;
            (kind == "json").then_some((version, object.last_modified.timestamp_millis()))
        });
        // The newest then: everything from it on is promised.
        let promised = commits
            .take_while(|(_, made)| *made < before)
            .map(|(version, _)| version)
            .last();
        let Some(promised) = promised else {
            return Ok(Unneeded::default());
        };
        let checkpoint = objects
            .iter()
            .filter_map(|object| version_of(&object.location))
            .filter(|(version, kind)| *kind == "checkpoint.parquet" && *version <= promised)
            .map(|(version, _)| version)
            .max();
        let Some(checkpoint) = checkpoint else {
            return Ok(Unneeded::default());
        };
        // Only what can be read stands for what is deleted.
        let opened = Table::open(self.lake(), self.name(), Some(checkpoint)).await?;
        opened.files().await?;
        let mut objects = objects;
        objects.retain(|object| {
            version_of(&object.location).is_some_and(|(version, kind)| {
                let ours = matches!(kind, "json" | "crc" | "checkpoint.parquet");
                ours && version < checkpoint
            })
        });
        Ok(unneeded(objects))
    }

    /// Deletes objects, and calls `deleted` with the size of each.
    ///
    /// Whoever is killed in between leaves some of them; the next one finds those again.
    pub async fn vacuum(
        &self,
        unneeded: &Unneeded,
        mut deleted: impl FnMut(u64),
    ) -> Result<(), VacuumError> {
        let store = self.lake().store();
        let paths: Vec<_> = unneeded
            .objects
            .iter()
            .map(|(path, _)| Ok(Path::from(path.as_str())))
            .collect();
        let mut results = store.delete_stream(stream::iter(paths).boxed());
        let mut sizes = unneeded.objects.iter();
        while let Some(result) = results.next().await {
            let object = sizes.next();
            match result {
                // Somebody else was faster.
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(source) => {
                    return Err(VacuumError::Delete {
                        table: self.name().clone(),
                        path: object.map(|(path, _)| path.clone()).unwrap_or_default(),
                        source,
                    });
                }
            }
            deleted(object.map_or(0, |(_, size)| *size));
        }
        Ok(())
    }
}

fn since(now_ms: u64, promise: Duration) -> i64 {
    let now = i64::try_from(now_ms).unwrap_or(i64::MAX);
    now.saturating_sub(i64::try_from(promise.as_millis()).unwrap_or(i64::MAX))
}

fn is_data(root: &Path, path: &Path) -> bool {
    let log = path
        .prefix_match(root)
        .and_then(|mut parts| parts.next())
        .is_none_or(|first| first.as_ref().starts_with('_'));
    !log && path.extension() == Some("parquet")
}

/// Where a path of the log is in the bucket.
fn path_of(root: &Url, path: &str) -> Option<Path> {
    Path::from_url_path(root.join(path).ok()?.path()).ok()
}

fn unneeded(mut objects: Vec<ObjectMeta>) -> Unneeded {
    objects.sort_by(|one, other| one.location.cmp(&other.location));
    Unneeded {
        objects: objects
            .into_iter()
            .map(|object| (object.location.to_string(), object.size))
            .collect(),
    }
}
