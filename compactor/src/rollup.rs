//! Rolling up: figures for each hour, day, month and year, kept up to date.
//!
//! A table of a rollup records the versions of the tables that it was computed from. What those have
//! got since tells which times are affected; their rows are computed anew, from all that the sources
//! hold of these times, and replace the old ones in the commit that records the new versions. So
//! late rows cost no more than the times that they belong to, and whoever dies in between has
//! changed nothing.

mod affected;
mod compute;
mod error;
mod text;

pub use error::RollupError;

use crate::scratch::Scratch;
use affected::Affected;
use compute::Computation;
use error::{lake, sql};
use std::{collections::BTreeMap, sync::Arc};
use streamsync_core::{
    Level, ROLLUP_DOMAIN, RollupState, TableName,
    config::{CompactorConfig, RollupConfig},
};
use streamsync_lake::{DataFile, Lake, Replace, Replaced, Table, tables::PartitionBy};
use text::Text;
use tokio_util::sync::CancellationToken;

/// The Delta metadata domain in which a table says from which day on, in days since 1970, it has its
/// rows: those of earlier days were deleted.
pub(crate) const KEPT_FROM_DOMAIN: &str = "streamsync.kept_from";

/// What bringing one level up to date came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct RolledUp {
    /// The times whose rows were computed anew.
    pub times: u64,
    /// Rows that were written.
    pub rows: u64,
    /// Times that have new rows in the sources, and whose old ones were deleted there.
    pub too_late: u64,
    /// Whether another compactor was faster, and it is to be looked at again.
    pub superseded: bool,
}

/// One level of a rollup, with the tables that it comes from.
pub(crate) struct RollupLevel<'a> {
    pub(crate) config: &'a RollupConfig,
    pub(crate) level: Level,
    /// The level that it is computed from; `None` for the finest, which comes from the rows.
    pub(crate) finer: Option<Level>,
}

impl<'a> RollupLevel<'a> {
    /// The levels of a rollup, each after the one that it comes from.
    pub(crate) fn all(config: &'a RollupConfig) -> impl Iterator<Item = Self> {
        let finer = std::iter::once(None).chain(config.levels.iter().copied().map(Some));
        let levels = config.levels.iter().copied().zip(finer);
        levels.map(move |(level, finer)| Self {
            config,
            level,
            finer,
        })
    }

    /// The name of its table.
    pub(crate) fn name(&self) -> Result<TableName, RollupError> {
        Ok(TableName::new(self.config.table(self.level))?)
    }

    fn source_names(&self) -> Result<Vec<TableName>, RollupError> {
        match self.finer {
            None => Ok(self.config.tables.clone()),
            Some(finer) => Ok(vec![TableName::new(self.config.table(finer))?]),
        }
    }

    /// Whether it is computed from a table.
    pub(crate) fn reads(&self, table: &str) -> bool {
        match self.finer {
            None => self
                .config
                .tables
                .iter()
                .any(|source| source.as_str() == table),
            Some(finer) => self.config.table(finer) == table,
        }
    }

    /// The column of the sources that says when.
    fn time_column(&self) -> &'static str {
        match self.finer {
            None => "block_time",
            Some(_) => "time",
        }
    }

    /// Brings the level up to date with its sources. `None` where a source is not there yet.
    pub(crate) async fn bring_up_to_date(
        &self,
        lake_: &Lake,
        config: &CompactorConfig,
        scratch: &Scratch,
        stop: &CancellationToken,
    ) -> Result<Option<RolledUp>, RollupError> {
        let mut sources = Vec::new();
        for name in self.source_names()? {
            match lake_.table(&name).await {
                Ok(table) => sources.push(table),
                Err(streamsync_lake::OpenTableError::NotFound { .. }) => return Ok(None),
                Err(error) => return Err(lake(&name, error)),
            }
        }
        if self.finer.is_none() {
            self.check_sources(&sources)?;
        }
        let text = Arc::new(Text::new(self));
        let mut table = self.open(lake_, &sources, &text).await?;
        let state = self.state(&table).await?;
        let known = state.map(|state| state.sources).unwrap_or_default();
        let newest: BTreeMap<TableName, u64> = sources
            .iter()
            .map(|source| (source.name().clone(), source.version()))
            .collect();
        if known == newest {
            return Ok(Some(RolledUp::default()));
        }
        let affected = Affected::find(self, &sources, &known).await?;
        let mut done = RolledUp {
            too_late: affected.too_late,
            ..RolledUp::default()
        };
        let mut chunks = affected.chunks(config.merge_bytes).into_iter().peekable();
        // Without a time that is affected, the versions are still recorded.
        let mut last = chunks.peek().is_none();
        loop {
            let chunk = chunks.next().unwrap_or_default();
            last |= chunks.peek().is_none();
            let computation = Computation {
                table: &table,
                level: self.level,
                time_column: self.time_column(),
                text: &text,
                sources: &sources,
                chunk: &chunk,
                config,
                stop,
            };
            let computed = computation.run(scratch).await?;
            done.times += chunk.starts.len() as u64;
            done.rows += computed.rows;
            let reached = if last { newest.clone() } else { known.clone() };
            let replace = Replace {
                data_change: !computed.removed.is_empty() || !computed.staged.is_empty(),
                remove: computed.removed,
                add: computed.staged,
                domains: vec![(ROLLUP_DOMAIN.to_owned(), self.describe(&text, reached)?)],
                only_now: true,
            };
            match table
                .replace(replace)
                .await
                .map_err(|error| lake(table.name(), error))?
            {
                Replaced::Committed(after) => table = after,
                Replaced::Superseded(_) => {
                    done.superseded = true;
                    return Ok(Some(done));
                }
            }
            if last {
                return Ok(Some(done));
            }
        }
    }

    fn check_sources(&self, sources: &[Table]) -> Result<(), RollupError> {
        for source in sources {
            let definition = source.definition();
            let by_date = definition.is_some_and(|one| one.partition_by == PartitionBy::Date);
            let has_time = source.schema().field_with_name("block_time").is_ok();
            if !by_date || !has_time {
                return Err(RollupError::Source {
                    rollup: self.config.name.clone(),
                    table: source.name().clone(),
                });
            }
        }
        Ok(())
    }

    /// The table of the level, made when it is not there.
    async fn open(
        &self,
        lake_: &Lake,
        sources: &[Table],
        text: &Arc<Text>,
    ) -> Result<Table, RollupError> {
        let name = self.name()?;
        let schema = {
            let (text, sources) = (Arc::clone(text), sources.to_vec());
            let described = tokio::task::spawn_blocking(move || text.schema(&sources));
            described.await?.map_err(|error| match error {
                text::SchemaError::Sql(source) => sql(&self.config.name, source),
                text::SchemaError::Type { column, data_type } => RollupError::Type {
                    rollup: self.config.name.clone(),
                    column,
                    data_type,
                },
            })?
        };
        lake_
            .create_derived_table(&name, &schema, "date")
            .await
            .map_err(|error| lake(&name, error))
    }

    /// What the table says of itself; `None` before its first commit.
    async fn state(&self, table: &Table) -> Result<Option<RollupState>, RollupError> {
        let text = table
            .domain(ROLLUP_DOMAIN)
            .await
            .map_err(|error| lake(table.name(), error))?;
        let Some(text) = text else {
            return Ok(None);
        };
        let state = serde_json::from_str(&text).map_err(|source| RollupError::State {
            table: table.name().clone(),
            source,
        })?;
        Ok(Some(state))
    }

    fn describe(
        &self,
        text: &Text,
        sources: BTreeMap<TableName, u64>,
    ) -> Result<String, RollupError> {
        let state = RollupState {
            rollup: self.config.name.clone(),
            level: self.level,
            sources,
            group_by: self.config.group_by.clone(),
            columns: text.recorded(),
        };
        serde_json::to_string(&state).map_err(|source| RollupError::State {
            table: self.config.name.clone(),
            source,
        })
    }

    /// The version of a source up to which everything is in the finest level.
    pub(crate) async fn reached(
        &self,
        lake_: &Lake,
        source: &TableName,
    ) -> Result<Option<u64>, RollupError> {
        let name = self.name()?;
        let table = match lake_.table(&name).await {
            Ok(table) => table,
            Err(streamsync_lake::OpenTableError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(lake(&name, error)),
        };
        let state = self.state(&table).await?;
        Ok(state.and_then(|state| state.sources.get(source).copied()))
    }
}

/// The day of a file's partition, in days since 1970.
pub(crate) fn day(file: &DataFile) -> Option<i32> {
    let date = file.partition.get("date")?.as_deref()?;
    match streamsync_core::Scalar::parse(&arrow::datatypes::DataType::Date32, date)? {
        streamsync_core::Scalar::Date(day) => Some(day),
        _ => None,
    }
}
