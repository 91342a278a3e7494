//! Opening tables.

use crate::{
    Lake, Table,
    engine::{is_request, plain},
};
use arrow::datatypes::{Schema, SchemaRef};
use delta_kernel::{
    DeltaResult, Engine, Error,
    engine::arrow_conversion::TryIntoArrow,
    snapshot::{IncrementalReplay, Snapshot, SnapshotBuilder, SnapshotRef},
};
use std::sync::Arc;
use streamsync_core::TableName;
use url::Url;

/// Why a table could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenTableError {
    /// There is no such table.
    #[error("there is no table `{table}` in {url}")]
    NotFound {
        /// The table.
        table: TableName,
        /// The lake.
        url: Url,
    },
    /// The table has no such version.
    #[error("table `{table}` has no version {version}: its newest is {newest}")]
    NoSuchVersion {
        /// The table.
        table: TableName,
        /// The version that was wanted.
        version: u64,
        /// The newest version.
        newest: u64,
    },
    /// The Delta log could not be read.
    #[error("could not read the log of table `{table}` in {url}")]
    Log {
        /// The table.
        table: TableName,
        /// The lake.
        url: Url,
        /// The cause.
        #[source]
        source: Box<Error>,
    },
}

/// What is taken from a snapshot when a table is opened.
pub(crate) struct Parts {
    pub(crate) snapshot: SnapshotRef,
    pub(crate) schema: SchemaRef,
    pub(crate) partition_columns: Vec<String>,
}

impl Parts {
    pub(crate) fn of(snapshot: SnapshotRef) -> DeltaResult<Self> {
        let schema: Schema = snapshot.schema().as_ref().try_into_arrow()?;
        let partition_columns = snapshot
            .table_configuration()
            .logical_partition_columns()
            .to_vec();
        Ok(Self {
            snapshot,
            schema: Arc::new(schema),
            partition_columns,
        })
    }
}

/// Opens a table at a version, or at its newest.
pub(crate) async fn open(
    lake: &Lake,
    name: &TableName,
    version: Option<u64>,
) -> Result<Parts, OpenTableError> {
    let failed = match snapshot(lake, name, version).await {
        Ok(parts) => return Ok(parts),
        Err(failed) => failed,
    };
    // Not where the bucket does not answer: asking it again would only take longer.
    if is_request(&failed) {
        return Err(unreadable(lake, name, failed));
    }
    // The kernel says much the same of a table that is not there and of a log that is broken.
    let failed = match lake.has_log(name).await {
        Ok(false) => {
            return Err(OpenTableError::NotFound {
                table: name.clone(),
                url: lake.url().clone(),
            });
        }
        // It may have been created meanwhile.
        Ok(true) => match snapshot(lake, name, version).await {
            Ok(parts) => return Ok(parts),
            Err(failed) => failed,
        },
        Err(_) => failed,
    };
    Err(explain(lake, name, version, failed).await)
}

/// A later version of a table, or its newest, by what was committed since.
pub(crate) async fn later(table: &Table, version: Option<u64>) -> Result<Parts, OpenTableError> {
    let lake = table.lake();
    let builder = Snapshot::builder_from(Arc::clone(table.snapshot()));
    match build(lake, builder, version).await {
        Ok(parts) => Ok(parts),
        Err(failed) => Err(explain(lake, table.name(), version, failed).await),
    }
}

async fn snapshot(lake: &Lake, name: &TableName, version: Option<u64>) -> DeltaResult<Parts> {
    let builder = Snapshot::builder_for(lake.table_url(name).as_str());
    build(lake, builder, version).await
}

async fn build<Mode: Send + 'static>(
    lake: &Lake,
    builder: SnapshotBuilder<Mode>,
    version: Option<u64>,
) -> DeltaResult<Parts> {
    let build = move |engine: &dyn Engine| {
        // So that the coverage and the transactions of a refreshed table are at hand.
        let builder = builder.with_incremental_crc_replay(IncrementalReplay::Unlimited);
        let snapshot = match version {
            Some(version) => builder.at_version(version),
            None => builder,
        };
        Parts::of(snapshot.build(engine)?)
    };
    lake.engine().run(build).await
}

/// Finds out why a table that is there could not be opened.
async fn explain(
    lake: &Lake,
    name: &TableName,
    version: Option<u64>,
    source: Error,
) -> OpenTableError {
    if let Some(version) = version {
        let newest = Box::pin(Table::open(lake, name, None)).await;
        if let Ok(newest) = newest
            && newest.version() < version
        {
            return OpenTableError::NoSuchVersion {
                table: name.clone(),
                version,
                newest: newest.version(),
            };
        }
    }
    unreadable(lake, name, source)
}

fn unreadable(lake: &Lake, name: &TableName, source: Error) -> OpenTableError {
    OpenTableError::Log {
        table: name.clone(),
        url: lake.url().clone(),
        source: plain(source),
    }
}
