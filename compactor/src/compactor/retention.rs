//! Deleting the rows of old days.

use super::{CompactError, Compactor, DAY_MS, OpenCompactorError, end_of};
use crate::{
    accounts,
    report::Report,
    rollup::{KEPT_FROM_DOMAIN, RollupLevel},
};
use std::collections::BTreeSet;
use streamsync_core::{Level, config::CompactorConfig};
use streamsync_lake::{
    DataFile, Replace, Replaced, Table,
    tables::{self, PartitionBy},
};

/// Whether rows can be deleted and archived as configured.
pub(super) fn check(config: &CompactorConfig) -> Result<(), OpenCompactorError> {
    for table in config.archive_days.keys() {
        check_table(config, "archive_days", table)?;
    }
    for (table, &days) in &config.keep_days {
        check_table(config, "keep_days", table)?;
        for reader in config.rollups.iter().flat_map(RollupLevel::all) {
            let least = least_days(reader.level);
            if reader.reads(table) && days < least {
                return Err(OpenCompactorError::TooShort {
                    table: table.clone(),
                    days,
                    rollup: reader.config.name.clone(),
                    level: reader.level,
                    least,
                });
            }
        }
    }
    Ok(())
}

/// Whether there is such a table, and its rows are told apart by day.
fn check_table(
    config: &CompactorConfig,
    setting: &'static str,
    table: &str,
) -> Result<(), OpenCompactorError> {
    let rollup = config.rollups.iter().any(|rollup| {
        let mut levels = rollup.levels.iter();
        levels.any(|level| rollup.table(*level) == table)
    });
    let table = table.to_owned();
    match tables::definition(&table).map(|definition| definition.partition_by) {
        Some(PartitionBy::Date) => Ok(()),
        Some(PartitionBy::Bucket(_)) => Err(OpenCompactorError::NotByDate { setting, table }),
        None if rollup => Ok(()),
        None => Err(OpenCompactorError::NoTable { setting, table }),
    }
}

/// For how many days rows must be kept that a level is computed from: as long as the time that it
/// is now, and the one before, get late rows.
fn least_days(level: Level) -> u32 {
    match level {
        Level::Minute | Level::Hour | Level::Day => 1,
        Level::Month => 62,
        Level::Year => 731,
    }
}

impl Compactor {
    /// Deletes the rows of days that are not kept any more.
    pub(super) async fn expire(
        &self,
        table: &mut Table,
        report: &mut Report,
    ) -> Result<(), CompactError> {
        let expired = self.expired(table).await?;
        if expired.is_empty() {
            return Ok(());
        }
        let job = format!("expire:{}", table.name());
        let Some(claim) = self.claims.claim(&job).await? else {
            return Ok(());
        };
        let files = expired.len() as u64;
        let done = self.delete(table, expired).await;
        claim.release().await;
        match done? {
            Replaced::Committed(after) => {
                tracing::info!(table = %table.name(), files, "deleted rows too old to be kept");
                *table = after;
                report.expired_files += files;
            }
            Replaced::Superseded(newest) => *table = newest,
        }
        Ok(())
    }

    /// The files of days that are not kept any more, and whose rows are in all that is computed
    /// from them.
    pub(super) async fn expired(&self, table: &Table) -> Result<Vec<DataFile>, CompactError> {
        let Some(kept_from) = self.kept_from(table) else {
            return Ok(Vec::new());
        };
        let files = table.files().await?;
        let old = |file: &&DataFile| {
            let end = end_of(&file.partition);
            end.is_some_and(|end| end <= kept_from * DAY_MS)
        };
        let mut expired: Vec<DataFile> = files.iter().filter(old).cloned().collect();
        if expired.is_empty() {
            return Ok(expired);
        }
        let mut all_reached = vec![
            accounts::reached(&self.lake, table)
                .await
                .map_err(Box::new)?,
        ];
        for reader in self.config.rollups.iter().flat_map(RollupLevel::all) {
            if reader.reads(table.name().as_str()) {
                let reached = reader.reached(&self.lake, table.name()).await;
                all_reached.push(reached.map_err(Box::new)?);
            }
        }
        for reached in all_reached {
            let Some(reached) = reached else {
                return Ok(Vec::new());
            };
            let then = table.at(reached.min(table.version())).await?;
            let then = then.files().await?;
            let there: BTreeSet<&str> = then.iter().map(|file| file.path.as_str()).collect();
            expired.retain(|file| there.contains(file.path.as_str()));
        }
        Ok(expired)
    }

    /// The first day that is kept, in days since 1970.
    fn kept_from(&self, table: &Table) -> Option<u64> {
        let days = self.config.keep_days.get(table.name().as_str())?;
        let today = self.clock.unix_millis() / DAY_MS;
        today.checked_sub(u64::from(*days))
    }

    async fn delete(
        &self,
        table: &Table,
        expired: Vec<DataFile>,
    ) -> Result<Replaced, CompactError> {
        let kept_from = self.kept_from(table).unwrap_or_default();
        let replace = Replace {
            remove: expired,
            data_change: true,
            // By which rollups know that what comes for earlier days is not all there is.
            domains: vec![(KEPT_FROM_DOMAIN.to_owned(), kept_from.to_string())],
            ..Replace::default()
        };
        Ok(table.replace(replace).await?)
    }
}
