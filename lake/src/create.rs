//! Creating tables.

use crate::{Lake, OpenTableError, Table, engine::plain, table::ENGINE_INFO};
use arrow::datatypes::{Schema, SchemaRef};
use delta_kernel::{
    DeltaResult, Engine, Error,
    committer::FileSystemCommitter,
    engine::arrow_conversion::TryFromArrow,
    schema::StructType,
    transaction::{CommitResult, create_table::create_table, data_layout::DataLayout},
};
use std::sync::Arc;
use streamsync_core::{InvalidTableName, TableName};
use url::Url;

/// Why a table could not be created.
#[derive(Debug, thiserror::Error)]
pub enum CreateTableError {
    /// The definition's name is none.
    #[error("could not create a table")]
    Name(#[from] InvalidTableName),
    /// There is a table of that name with other columns or partitions.
    #[error(
        "could not create table `{table}`: there is one already with other columns or partitions; \
         use another bucket or prefix"
    )]
    Different {
        /// The table.
        table: TableName,
    },
    /// What is there could not be read.
    #[error("could not look for table `{table}` before creating it")]
    Open {
        /// The table.
        table: TableName,
        /// The cause.
        #[source]
        source: Box<OpenTableError>,
    },
    /// The folder of the table could not be made.
    #[error("could not make the folder of table `{table}` in {url}: check that it can be written")]
    Folder {
        /// The table.
        table: TableName,
        /// The lake.
        url: Url,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The first commit could not be written.
    #[error("could not write the first commit of table `{table}` in {url}")]
    Commit {
        /// The table.
        table: TableName,
        /// The lake.
        url: Url,
        /// The cause.
        #[source]
        source: Box<Error>,
    },
}

/// Creates a table of these columns, unless there is one.
pub(crate) async fn create(
    lake: &Lake,
    name: &TableName,
    schema: &SchemaRef,
    partition_column: &str,
) -> Result<Table, CreateTableError> {
    if let Some(table) = existing(lake, name, schema, partition_column).await? {
        return Ok(table);
    }
    let url = lake.table_url(name);
    if let Ok(folder) = url.to_file_path() {
        let made = lake
            .engine()
            .run(move |_| std::fs::create_dir_all(folder))
            .await;
        made.map_err(|source| CreateTableError::Folder {
            table: name.clone(),
            url: lake.url().clone(),
            source,
        })?;
    }
    let (columns, partition) = (Arc::clone(schema), partition_column.to_owned());
    let committed = lake
        .engine()
        .run(move |engine| commit(engine, &url, &columns, &partition))
        .await;
    // Whoever lost a race, or cannot tell, finds the winner's table here.
    match existing(lake, name, schema, partition_column).await? {
        Some(table) => Ok(table),
        None => Err(CreateTableError::Commit {
            table: name.clone(),
            url: lake.url().clone(),
            source: plain(committed.err().unwrap_or(Error::EmptyLog)),
        }),
    }
}

async fn existing(
    lake: &Lake,
    name: &TableName,
    schema: &SchemaRef,
    partition_column: &str,
) -> Result<Option<Table>, CreateTableError> {
    match lake.table(name).await {
        Ok(table) => {
            let same = table.schema() == *schema && table.partition_columns() == [partition_column];
            if same {
                Ok(Some(table))
            } else {
                Err(CreateTableError::Different {
                    table: name.clone(),
                })
            }
        }
        Err(OpenTableError::NotFound { .. }) => Ok(None),
        Err(source) => Err(CreateTableError::Open {
            table: name.clone(),
            source: Box::new(source),
        }),
    }
}

fn commit(
    engine: &dyn Engine,
    url: &Url,
    schema: &Schema,
    partition_column: &str,
) -> DeltaResult<()> {
    let schema = Arc::new(StructType::try_from_arrow(schema)?);
    let creation = create_table(url.as_str(), schema, ENGINE_INFO)
        // Where the coverage is kept. It is a feature for writers only, so any reader will do.
        .with_table_properties([("delta.feature.domainMetadata", "supported")])
        .with_data_layout(DataLayout::partitioned([partition_column]))
        .build(engine, Box::new(FileSystemCommitter::new()))?;
    match creation.commit(engine)? {
        CommitResult::Committed(_) | CommitResult::Conflicted(_) => Ok(()),
        CommitResult::Retryable(failed) => Err(failed.error),
    }
}
