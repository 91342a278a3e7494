//! Keeping rollups up to date.

use super::{CompactError, Compactor};
use crate::{
    accounts,
    report::Report,
    rollup::{RolledUp, RollupError, RollupLevel},
};
use streamsync_core::with_causes;
use tokio_util::sync::CancellationToken;

/// How often a level is tried again when its table was changed meanwhile.
const TRIES: usize = 5;

impl Compactor {
    /// Brings every level of every rollup up to date, each after the one that it comes from.
    pub(super) async fn roll_up(
        &self,
        report: &mut Report,
        stop: &CancellationToken,
    ) -> Result<(), CompactError> {
        for rollup in &self.config.rollups {
            for level in RollupLevel::all(rollup) {
                let done = self.roll_up_level(&level, stop).await;
                if stop.is_cancelled() {
                    return Err(CompactError::Stopped);
                }
                let name = rollup.table(level.level);
                match done {
                    Ok(done) => {
                        report.rollups += u64::from(done.times > 0);
                        report.times += done.times;
                        report.too_late += done.too_late;
                        if done.times > 0 {
                            tracing::info!(
                                table = name,
                                times = done.times,
                                rows = done.rows,
                                "rolled up"
                            );
                        }
                        if done.too_late > 0 {
                            tracing::warn!(
                                table = name,
                                times = done.too_late,
                                "rows came for days whose other rows are deleted; they are not rolled up"
                            );
                        }
                        let count = |what: &'static str, by: u64| {
                            metrics::counter!(what, "table" => name.clone()).increment(by);
                        };
                        count("streamsync_compactor_times_total", done.times);
                        count("streamsync_compactor_times_too_late_total", done.too_late);
                    }
                    Err(error) => {
                        metrics::counter!("streamsync_compactor_failures_total", "table" => name)
                            .increment(1);
                        report.failures.push(with_causes(&error));
                        // What comes from it would be of no use.
                        break;
                    }
                }
            }
        }
        Ok(())
    }

    /// Brings the table of accounts up to date, if that is due.
    pub(super) async fn look_up_accounts(
        &self,
        report: &mut Report,
        stop: &CancellationToken,
    ) -> Result<(), CompactError> {
        let Some(claim) = self.claims.claim("accounts").await? else {
            return Ok(());
        };
        for _ in 0..TRIES {
            let (config, scratch) = (&self.config, &self.scratch);
            let updated = accounts::bring_up_to_date(&self.lake, config, scratch, stop).await;
            match updated {
                Ok(None) => {}
                Ok(Some(rows)) => {
                    report.accounts = rows;
                    break;
                }
                Err(_) if stop.is_cancelled() => break,
                Err(error) => {
                    metrics::counter!("streamsync_compactor_failures_total", "table" => accounts::TABLE)
                        .increment(1);
                    report.failures.push(with_causes(&error));
                    break;
                }
            }
        }
        claim.release().await;
        match stop.is_cancelled() {
            true => Err(CompactError::Stopped),
            false => Ok(()),
        }
    }

    async fn roll_up_level(
        &self,
        level: &RollupLevel<'_>,
        stop: &CancellationToken,
    ) -> Result<RolledUp, CompactError> {
        let name = level.name().map_err(Box::new)?;
        let Some(claim) = self.claims.claim(&format!("rollup:{name}")).await? else {
            return Ok(RolledUp::default());
        };
        let mut total = RolledUp::default();
        let mut tried = Ok(());
        for _ in 0..TRIES {
            let done = level
                .bring_up_to_date(&self.lake, &self.config, &self.scratch, stop)
                .await;
            match done {
                Ok(Some(done)) => {
                    total.times += done.times;
                    total.rows += done.rows;
                    total.too_late = done.too_late;
                    if !done.superseded {
                        break;
                    }
                }
                // A source is not there yet.
                Ok(None) => break,
                Err(error) => {
                    tried = Err(Box::<RollupError>::new(error));
                    break;
                }
            }
        }
        claim.release().await;
        tried?;
        Ok(total)
    }
}
