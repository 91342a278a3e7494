//! Creating tables.

use crate::{
    Lake, OpenTableError, Table, engine::plain, table::ENGINE_INFO, tables::TableDefinition,
};
use arrow::datatypes::Schema;
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

pub(crate) async fn create(
    lake: &Lake,
    definition: &TableDefinition,
) -> Result<Table, CreateTableError> {
    let name = TableName::new(definition.name)?;
    if let Some(table) = existing(lake, definition, &name).await? {
        return Ok(table);
    }
    let url = lake.table_url(&name);
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
    let schema = Arc::clone(&definition.schema);
    let partition_column = definition.partition_by.column();
    let committed = lake
        .engine()
        .run(move |engine| commit(engine, &url, &schema, partition_column))
        .await;
    // Whoever lost a race, or cannot tell, finds the winner's table here.
    match existing(lake, definition, &name).await? {
        Some(table) => Ok(table),
        None => Err(CreateTableError::Commit {
            table: name,
            url: lake.url().clone(),
            source: plain(committed.err().unwrap_or(Error::EmptyLog)),
        }),
    }
}

async fn existing(
    lake: &Lake,
    definition: &TableDefinition,
    name: &TableName,
) -> Result<Option<Table>, CreateTableError> {
    match lake.table(name).await {
        Ok(table) => {
            let same = table.schema() == definition.schema
                && table.partition_columns() == [definition.partition_by.column()];
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
