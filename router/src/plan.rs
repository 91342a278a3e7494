//! From what a client asks to a query that can be raced.

use crate::{Analysed, Catalog, Refused, classify::classify, statement::analyse_at};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use streamsync_core::{
    Amount, Class, Level, Parameter, Partition, Query, QueryId, Snapshot, TableName,
    config::RouterConfig,
};
use streamsync_lake::{ListFilesError, prune, tables};

/// What a client asks: the body of `POST /v1/query`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ask {
    /// One `SELECT`.
    pub sql: String,
    /// Values of its placeholders.
    #[serde(default)]
    pub params: Vec<Parameter>,
    /// How sure the answer has to be.
    #[serde(default)]
    pub verify: Verify,
    /// The level that rollups are answered from; by default the coarsest that gives the same.
    pub level: Option<Level>,
    /// How long it may take, in milliseconds.
    pub deadline_ms: Option<u64>,
    /// The most that it may cost, in base units of STRM.
    pub max_price: Option<Amount>,
}

/// How sure an answer has to be before the client gets it.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// Others have confirmed it.
    #[default]
    Quorum,
    /// It is the first; others are compared with it afterwards.
    Fast,
}

/// Why a query is not raced.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The statement is not one that is answered.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The deadline is out of bounds.
    #[error("deadline_ms is {asked}; it must be 1 to {longest}")]
    Deadline {
        /// What the client asked for.
        asked: u64,
        /// The longest that is taken.
        longest: u64,
    },
    /// The lake could not be asked for its files.
    #[error("could not list the files of a table")]
    Files(#[from] ListFilesError),
}

/// A query that can be raced.
pub(crate) struct Planned {
    pub(crate) query: Query,
    pub(crate) class: Class,
    /// The rollups that it names, and the level of each that it is answered from.
    pub(crate) levels: BTreeMap<TableName, Level>,
    /// What it may have to read, in the order of the query's partitions.
    pub(crate) reads: Vec<ReadPartition>,
}

/// What a query may have to read of a partition.
#[derive(Clone, Debug, Serialize)]
pub struct ReadPartition {
    /// Which one.
    #[serde(flatten)]
    pub partition: Partition,
    /// How many of its files cannot be ruled out.
    pub files: u64,
    /// How many bytes they have.
    pub bytes: u64,
}

impl Planned {
    /// How many bytes it may have to read.
    pub(crate) fn bytes(&self) -> u64 {
        self.reads.iter().map(|read| read.bytes).sum()
    }
}

/// Plans a query: checks it, pins the newest snapshot, and names the partitions that matter.
pub(crate) async fn plan(
    ask: Ask,
    id: QueryId,
    catalog: &Catalog,
    config: &RouterConfig,
    archive_after_days: u32,
) -> Result<Planned, PlanError> {
    let deadline = ask.deadline_ms.unwrap_or(config.default_deadline_ms);
    if !(1..=config.max_deadline_ms).contains(&deadline) {
        let longest = config.max_deadline_ms;
        return Err(PlanError::Deadline {
            asked: deadline,
            longest,
        });
    }
    let analysed = analyse_at(&ask.sql, catalog, &ask.params, ask.level)?;
    let reads = reads(&analysed, catalog).await?;
    let partitions: Vec<Partition> = reads.iter().map(|read| read.partition.clone()).collect();
    let class = classify(&analysed, &partitions, catalog, archive_after_days);
    let tables = analysed
        .tables
        .iter()
        .filter_map(|name| catalog.table(name.as_str()));
    let snapshot: Snapshot = tables
        .map(|table| (table.name().clone(), table.version()))
        .collect();
    let query = Query {
        id,
        sql: analysed.sql,
        parameters: analysed.parameters,
        snapshot,
        partitions,
        constraints: analysed.constraints,
        ordered: analysed.ordered,
        time_left_ms: deadline,
        max_rows: config.max_rows,
        max_bytes: config.max_answer_bytes,
    };
    Ok(Planned {
        query,
        class,
        levels: analysed.levels,
        reads,
    })
}

async fn reads(
    analysed: &Analysed,
    catalog: &Catalog,
) -> Result<Vec<ReadPartition>, ListFilesError> {
    let mut reads: BTreeMap<Partition, (u64, u64)> = BTreeMap::new();
    for name in &analysed.tables {
        let Some(table) = catalog.table(name.as_str()) else {
            continue;
        };
        let files = table.files().await?;
        let constraints = analysed
            .constraints
            .get(name)
            .map_or(&[][..], Vec::as_slice);
        let matter = match tables::definition(name.as_str()) {
            Some(definition) => prune(definition, &files, constraints),
            None => files.iter().collect(),
        };
        for file in matter {
            let partition = Partition {
                table: name.clone(),
                values: file.partition.clone(),
            };
            let (files, bytes) = reads.entry(partition).or_default();
            *files += 1;
            *bytes += file.size;
        }
    }
    let reads = reads
        .into_iter()
        .map(|(partition, (files, bytes))| ReadPartition {
            partition,
            files,
            bytes,
        });
    Ok(reads.collect())
}
