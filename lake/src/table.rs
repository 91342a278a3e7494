//! A table at one version.

use crate::{
    Coverage, DataFile, InvalidSlotSet, Lake, OpenTableError, ReadFileError,
    engine::plain,
    file_reader,
    listing::Listing,
    open::{self, Parts},
    tables::{self, TableDefinition},
};
use arrow::{datatypes::SchemaRef, record_batch::RecordBatch};
use delta_kernel::{Engine, snapshot::SnapshotRef};
use std::{fmt, sync::Arc};
use streamsync_core::TableName;
use tokio::sync::OnceCell;

/// How commits say who made them.
pub(crate) const ENGINE_INFO: &str = concat!("StreamSync/", env!("CARGO_PKG_VERSION"));

/// The Delta metadata domain in which a table's coverage is kept, as the text of a
/// [`SlotSet`](crate::SlotSet).
pub const COVERAGE_DOMAIN: &str = "streamsync.slots";

/// A table, pinned at one version: what it says never changes. Cheap to clone.
#[derive(Clone)]
pub struct Table {
    inner: Arc<Inner>,
}

struct Inner {
    lake: Lake,
    name: TableName,
    snapshot: SnapshotRef,
    schema: SchemaRef,
    partition_columns: Vec<String>,
    /// The files of an earlier version, from which to go on.
    earlier: Option<(u64, Arc<Vec<DataFile>>)>,
    files: OnceCell<Arc<Vec<DataFile>>>,
    coverage: OnceCell<Coverage>,
}

/// Why the files of a table could not be listed.
#[derive(Debug, thiserror::Error)]
#[error("could not list the files of table `{table}` at version {version}")]
pub struct ListFilesError {
    /// The table.
    pub table: TableName,
    /// Its version.
    pub version: u64,
    /// The cause.
    #[source]
    pub source: Box<delta_kernel::Error>,
}

/// Why the coverage of a table could not be read.
#[derive(Debug, thiserror::Error)]
pub enum CoverageError {
    /// The Delta log could not be read.
    #[error("could not read which slots table `{table}` covers at version {version}")]
    Log {
        /// The table.
        table: TableName,
        /// Its version.
        version: u64,
        /// The cause.
        #[source]
        source: Box<delta_kernel::Error>,
    },
    /// Someone else has written something else where the coverage belongs.
    #[error(
        "could not understand which slots table `{table}` covers at version {version}: the \
         domain metadata `{COVERAGE_DOMAIN}` is not a set of slots"
    )]
    Text {
        /// The table.
        table: TableName,
        /// Its version.
        version: u64,
        /// The cause.
        #[source]
        source: InvalidSlotSet,
    },
}

/// Why a checkpoint could not be written.
#[derive(Debug, thiserror::Error)]
#[error("could not write a checkpoint of table `{table}` at version {version}")]
pub struct CheckpointError {
    /// The table.
    pub table: TableName,
    /// Its version.
    pub version: u64,
    /// The cause.
    #[source]
    pub source: Box<delta_kernel::Error>,
}

impl Table {
    pub(crate) async fn open(
        lake: &Lake,
        name: &TableName,
        version: Option<u64>,
    ) -> Result<Self, OpenTableError> {
        let parts = open::open(lake, name, version).await?;
        Ok(Self::new(lake, name, parts, None))
    }

    fn new(
        lake: &Lake,
        name: &TableName,
        parts: Parts,
        earlier: Option<(u64, Arc<Vec<DataFile>>)>,
    ) -> Self {
        Self {
            inner: Arc::new(Inner {
                lake: lake.clone(),
                name: name.clone(),
                snapshot: parts.snapshot,
                schema: parts.schema,
                partition_columns: parts.partition_columns,
                earlier,
                files: OnceCell::new(),
                coverage: OnceCell::new(),
            }),
        }
    }

    /// The table's name.
    pub fn name(&self) -> &TableName {
        &self.inner.name
    }

    /// The version at which it is pinned.
    pub fn version(&self) -> u64 {
        self.inner.snapshot.version()
    }

    /// The columns, partition columns included, in the order of the definition.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.inner.schema)
    }

    /// The names of the partition columns.
    pub fn partition_columns(&self) -> &[String] {
        &self.inner.partition_columns
    }

    /// The definition of the table, if it is one of [`tables::definitions`].
    pub fn definition(&self) -> Option<&'static TableDefinition> {
        tables::definition(self.inner.name.as_str())
    }

    /// The newest version. Reads only what was committed since this one; without a new version,
    /// the result is this one, with all it has cached.
    pub async fn refresh(&self) -> Result<Table, OpenTableError> {
        self.later(None).await
    }

    /// The same table at another version. A later one is reached by what was committed in
    /// between, an earlier one is opened afresh.
    ///
    /// # Errors
    ///
    /// As [`Lake::table_at`].
    pub async fn at(&self, version: u64) -> Result<Table, OpenTableError> {
        match version.cmp(&self.version()) {
            std::cmp::Ordering::Equal => Ok(self.clone()),
            std::cmp::Ordering::Less => Self::open(self.lake(), self.name(), Some(version)).await,
            std::cmp::Ordering::Greater => self.later(Some(version)).await,
        }
    }

    async fn later(&self, version: Option<u64>) -> Result<Table, OpenTableError> {
        let parts = open::later(self, version).await?;
        Ok(self.succeeded_by(parts))
    }

    /// The table right after a commit to this version, which left it with this coverage; `None`
    /// if the commit did not touch it.
    pub(crate) fn after_commit(&self, parts: Parts, coverage: Option<Coverage>) -> Self {
        let table = self.succeeded_by(parts);
        if let Some(coverage) = coverage.or_else(|| self.inner.coverage.get().cloned()) {
            // Whoever set it first has read the same.
            let _ = table.inner.coverage.set(coverage);
        }
        table
    }

    /// The table at a snapshot that is not earlier than this one.
    fn succeeded_by(&self, parts: Parts) -> Self {
        if parts.snapshot.version() == self.version() {
            return self.clone();
        }
        let known = match self.inner.files.get() {
            Some(files) => Some((self.version(), Arc::clone(files))),
            None => self.inner.earlier.clone(),
        };
        Self::new(self.lake(), self.name(), parts, known)
    }

    /// The files of this version, sorted by path. Listed once and kept; a refreshed table reads
    /// only the commits since.
    pub async fn files(&self) -> Result<Arc<Vec<DataFile>>, ListFilesError> {
        let files = self.inner.files.get_or_try_init(|| async {
            let inner = Arc::clone(&self.inner);
            let list = move |engine: &dyn Engine| {
                let listing = Listing {
                    snapshot: &inner.snapshot,
                    schema: &inner.schema,
                    partition_columns: &inner.partition_columns,
                };
                listing.files(engine, inner.earlier.clone())
            };
            self.lake().engine().run(list).await.map(Arc::new)
        });
        match files.await {
            Ok(files) => Ok(Arc::clone(files)),
            Err(source) => Err(ListFilesError {
                table: self.name().clone(),
                version: self.version(),
                source: plain(source),
            }),
        }
    }

    /// The slots whose rows the table holds: all that [`Append::covers`](crate::Append::covers)
    /// has named. Read once and kept.
    pub async fn coverage(&self) -> Result<Coverage, CoverageError> {
        let read = self.inner.coverage.get_or_try_init(|| async {
            let Some(text) = self.domain(COVERAGE_DOMAIN).await? else {
                return Ok(Coverage::new());
            };
            text.parse().map_err(|source| CoverageError::Text {
                table: self.name().clone(),
                version: self.version(),
                source,
            })
        });
        read.await.cloned()
    }

    /// What this version keeps in a domain of Delta's domain metadata.
    ///
    /// # Errors
    ///
    /// [`CoverageError::Log`].
    pub async fn domain(&self, domain: &str) -> Result<Option<String>, CoverageError> {
        let (snapshot, domain) = (Arc::clone(self.snapshot()), domain.to_owned());
        let read = self
            .lake()
            .engine()
            .run(move |engine| snapshot.get_domain_metadata(&domain, engine));
        read.await.map_err(|source| CoverageError::Log {
            table: self.name().clone(),
            version: self.version(),
            source: plain(source),
        })
    }

    /// The rows of one file, in the table's schema, with the partition columns filled in.
    ///
    /// # Errors
    ///
    /// A file that is missing, is not the size that the log says, is not Parquet, has not the rows
    /// that the log says, or lacks a column that cannot be NULL.
    pub async fn read(&self, file: &DataFile) -> Result<Vec<RecordBatch>, ReadFileError> {
        file_reader::read(self, file).await
    }

    /// Writes a checkpoint of this version, so that opening the table reads no commit before it.
    /// Nothing if there is one already. The result is the table as it is after.
    pub async fn checkpoint(&self) -> Result<Table, CheckpointError> {
        let snapshot = Arc::clone(self.snapshot());
        let written = self
            .lake()
            .engine()
            .run(move |engine| snapshot.checkpoint(engine, None))
            .await;
        match written {
            Ok(_) => Ok(self.clone()),
            Err(source) => Err(CheckpointError {
                table: self.name().clone(),
                version: self.version(),
                source: plain(source),
            }),
        }
    }

    /// The version of the checkpoint from which this one was opened, if there was any.
    pub fn last_checkpoint(&self) -> Option<u64> {
        self.snapshot().log_segment().checkpoint_version
    }

    pub(crate) fn lake(&self) -> &Lake {
        &self.inner.lake
    }

    pub(crate) fn snapshot(&self) -> &SnapshotRef {
        &self.inner.snapshot
    }
}

impl fmt::Debug for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Table")
            .field("name", &self.inner.name.as_str())
            .field("version", &self.version())
            .finish_non_exhaustive()
    }
}
