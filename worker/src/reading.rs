//! What a query reads of each table: some files at one version.

use crate::{ExecuteError, LoadError};
use futures::future::try_join_all;
use lru::LruCache;
use moka::future::Cache;
use std::{
    collections::{BTreeMap, HashMap},
    num::NonZeroUsize,
    sync::{Arc, Mutex, PoisonError},
};
use streamsync_core::{
    Constraint, ConstraintOp, Partition, PartitionValues, Query, Scalar, Snapshot, TableName,
};
use streamsync_lake::{DataFile, Lake, OpenTableError, Table, prune};
use streamsync_registry::Holdings;

/// How many versions of tables a worker remembers the files of.
const REMEMBERED_VERSIONS: u64 = 1_024;
/// How many partitions a worker remembers to have read.
const REMEMBERED_PARTITIONS: NonZeroUsize = NonZeroUsize::new(Holdings::MOST).unwrap();
/// The partitions of one query that are remembered.
const MOST_NOTED: usize = 32;

/// The tables of the lake at the versions that queries have asked for.
pub(crate) struct Tables {
    lake: Lake,
    versions: Cache<(TableName, u64), Version>,
    /// The newest of the versions of each table: a newer one is reached from there by what was
    /// committed since.
    newest: Mutex<BTreeMap<TableName, Table>>,
    /// The partitions that were read or pulled last.
    recent: Mutex<LruCache<Partition, ()>>,
}

/// A table at one version, with its files by partition.
#[derive(Clone)]
struct Version {
    table: Table,
    files: Arc<HashMap<PartitionValues, Vec<DataFile>>>,
}

/// What a query reads of one table.
pub(crate) struct Reading {
    pub(crate) table: Table,
    pub(crate) files: Vec<DataFile>,
    pub(crate) constraints: Vec<Constraint>,
}

impl Tables {
    pub(crate) fn new(lake: Lake) -> Self {
        Self {
            lake,
            versions: Cache::new(REMEMBERED_VERSIONS),
            newest: Mutex::default(),
            recent: Mutex::new(LruCache::new(REMEMBERED_PARTITIONS)),
        }
    }

    /// The newest version of each table that was read.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let newest = self.newest();
        newest
            .iter()
            .map(|(name, table)| (name.clone(), table.version()))
            .collect()
    }

    /// The partitions that were read or pulled last, and so are most likely at hand.
    pub(crate) fn recent(&self) -> Holdings {
        let recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.iter().map(|(partition, ())| partition).collect()
    }

    /// Notes that partitions are at hand. A query that reads many is a scan, of which little stays.
    pub(crate) fn note(&self, partitions: &[Partition]) {
        if partitions.len() > MOST_NOTED {
            return;
        }
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        for partition in partitions {
            if !recent.promote(partition) {
                recent.push(partition.clone(), ());
            }
        }
    }

    /// What a query reads, table by table. A version that the worker does not know yet is fetched.
    pub(crate) async fn readings(&self, query: &Query) -> Result<Vec<Reading>, ExecuteError> {
        let tables = query.snapshot.iter();
        try_join_all(tables.map(|(name, version)| self.reading(query, name, version))).await
    }

    async fn reading(
        &self,
        query: &Query,
        name: &TableName,
        version: u64,
    ) -> Result<Reading, ExecuteError> {
        let version = self.version(name, version).await?;
        let constraints = query.constraints.get(name).cloned().unwrap_or_default();
        let mut files = Vec::new();
        for partition in &query.partitions {
            if partition.table != *name {
                continue;
            }
            let Some(of_partition) = version.files.get(&partition.values) else {
                continue;
            };
            match version.table.definition() {
                Some(definition) => {
                    let wanted = prune(definition, of_partition, &constraints);
                    files.extend(wanted.into_iter().cloned());
                }
                None => files.extend(of_partition.iter().cloned()),
            }
        }
        Ok(Reading {
            table: version.table,
            files,
            constraints,
        })
    }

    /// The newest version of a table and its files by partition; `None` if there is no such table.
    #[allow(clippy::type_complexity)]
    pub(crate) async fn newest_files(
        &self,
        name: &TableName,
    ) -> Result<Option<(Table, Arc<HashMap<PartitionValues, Vec<DataFile>>>)>, ExecuteError> {
        let known = self.newest().get(name).cloned();
        let newest = match known {
            Some(known) => known.refresh().await,
            None => self.lake.table(name).await,
        };
        let newest = match newest {
            Ok(newest) => newest,
            Err(OpenTableError::NotFound { .. }) => return Ok(None),
            Err(error) => {
                return Err(ExecuteError::Table {
                    table: name.clone(),
                    version: 0,
                    source: Arc::new(error.into()),
                });
            }
        };
        let version = self.version(name, newest.version()).await?;
        Ok(Some((version.table, version.files)))
    }

    async fn version(&self, name: &TableName, version: u64) -> Result<Version, ExecuteError> {
        let key = (name.clone(), version);
        if let Some(known) = self.versions.get(&key).await {
            return Ok(known);
        }
        let fetched = self
            .versions
            .try_get_with(key, self.fetch(name, version))
            .await;
        fetched.map_err(|error| ExecuteError::Table {
            table: name.clone(),
            version,
            source: error,
        })
    }

    async fn fetch(&self, name: &TableName, version: u64) -> Result<Version, FetchTableError> {
        let newest = self.newest().get(name).cloned();
        let table = match newest {
            Some(newest) => newest.at(version).await?,
            None => self.lake.table_at(name, version).await?,
        };
        let mut files: HashMap<PartitionValues, Vec<DataFile>> = HashMap::new();
        for file in table.files().await?.iter() {
            let of_partition = files.entry(file.partition.clone()).or_default();
            of_partition.push(file.clone());
        }
        let mut newest = self.newest();
        let known = newest.get(name).map_or(0, Table::version);
        if version >= known {
            newest.insert(name.clone(), table.clone());
        }
        Ok(Version {
            table,
            files: Arc::new(files),
        })
    }

    fn newest(&self) -> std::sync::MutexGuard<'_, BTreeMap<TableName, Table>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a table at a version is not known.
#[derive(Debug, thiserror::Error)]
pub enum FetchTableError {
    /// It could not be opened.
    #[error(transparent)]
    Open(#[from] OpenTableError),
    /// Its files could not be listed.
    #[error(transparent)]
    List(#[from] streamsync_lake::ListFilesError),
}

impl Reading {
    /// The column that the table is sorted by, and the values that the query asks for there, if it
    /// does.
    pub(crate) fn keys(&self) -> Option<(&'static str, &[Scalar])> {
        let sort_column = *self.table.definition()?.sort_by.first()?;
        let mut about = self.constraints.iter();
        about.find_map(|constraint| match &constraint.op {
            _ if constraint.column != sort_column => None,
            ConstraintOp::Eq(value) => Some((sort_column, std::slice::from_ref(value))),
            ConstraintOp::In(values) => Some((sort_column, values.as_slice())),
            _ => None,
        })
    }

    pub(crate) fn load_error(&self, source: Arc<LoadError>) -> ExecuteError {
        ExecuteError::Load {
            table: self.table.name().clone(),
            source,
        }
    }
}
