//! Why rows were not rolled up.

use crate::{merge::MergeError, scratch::ScratchError};
use std::error::Error;
use streamsync_core::{InvalidTableName, TableName};

/// Why a rollup was not brought up to date. Its tables are as they were.
#[derive(Debug, thiserror::Error)]
pub enum RollupError {
    /// The name of a level's table is too long.
    #[error("could not name the tables of a rollup")]
    Name(#[from] InvalidTableName),
    /// It reads a table that it cannot.
    #[error(
        "rollup `{rollup}` reads `{table}`: it can only read tables of the lake that are cut by date \
         and have a block_time"
    )]
    Source {
        /// The rollup.
        rollup: TableName,
        /// The table.
        table: TableName,
    },
    /// Its statement, or one made from it, is wrong.
    #[error("could not compute rollup `{rollup}`; check its rows, group_by, order_by and measures")]
    Sql {
        /// The rollup.
        rollup: TableName,
        /// What DuckDB says.
        #[source]
        source: duckdb::Error,
    },
    /// A column has values that are not exact, or that Delta cannot keep.
    #[error(
        "rollup `{rollup}` has a column `{column}` of type {data_type}, which is not exact or not \
         kept by Delta: cast it to BIGINT, DECIMAL(38, 0), VARCHAR, BOOLEAN or DATE"
    )]
    Type {
        /// The rollup.
        rollup: TableName,
        /// The column.
        column: String,
        /// Its type, as Arrow has it.
        data_type: String,
    },
    /// What a table says of itself is not understood.
    #[error(
        "could not understand how far table `{table}` has come; delete it to have it made anew"
    )]
    State {
        /// The table.
        table: TableName,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A table could not be read or written.
    #[error("could not read or write table `{table}` of a rollup")]
    Lake {
        /// The table.
        table: TableName,
        /// The cause.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// Files could not be copied, or rows not be written.
    #[error(transparent)]
    Write(#[from] Box<MergeError>),
    /// There is no folder to copy the files to.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// A thread ended early.
    #[error("a rollup was broken off")]
    BrokenOff(#[from] tokio::task::JoinError),
}

pub(super) fn lake(table: &TableName, source: impl Error + Send + Sync + 'static) -> RollupError {
    RollupError::Lake {
        table: table.clone(),
        source: Box::new(source),
    }
}

pub(super) fn sql(rollup: &TableName, source: duckdb::Error) -> RollupError {
    RollupError::Sql {
        rollup: rollup.clone(),
        source,
    }
}
