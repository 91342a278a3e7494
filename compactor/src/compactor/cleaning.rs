//! Checkpoints, and deleting what nobody needs.

use super::{CompactError, Compactor};
use crate::report::Report;
use streamsync_lake::{Table, Unneeded, VacuumError};
use tokio_util::sync::CancellationToken;

impl Compactor {
    /// Writes a checkpoint where the last one is too far behind, or where there is reason to.
    pub(super) async fn checkpoint(&self, table: &Table, now: bool) -> Result<bool, CompactError> {
        let last = table.last_checkpoint().unwrap_or(0);
        if !now && table.version().saturating_sub(last) < self.config.checkpoint_commits {
            return Ok(false);
        }
        let Some(claim) = self
            .claims
            .claim(&format!("checkpoint:{}", table.name()))
            .await?
        else {
            return Ok(false);
        };
        let written = table.checkpoint().await;
        claim.release().await;
        written?;
        Ok(true)
    }

    pub(super) async fn vacuum(
        &self,
        table: &Table,
        stop: &CancellationToken,
    ) -> Result<Report, CompactError> {
        let mut report = Report::default();
        let job = format!("vacuum:{}", table.name());
        let Some(claim) = self.claims.claim(&job).await? else {
            return Ok(report);
        };
        let vacuuming = async {
            for unneeded in [
                self.unneeded_files(table).await?,
                self.unneeded_log(table).await?,
            ] {
                if unneeded.objects.is_empty() {
                    continue;
                }
                let job = format!(
                    "deleting {} objects of {}",
                    unneeded.objects.len(),
                    table.name()
                );
                self.observer.began(&job, unneeded.bytes());
                let deleting = table.vacuum(&unneeded, |bytes| {
                    self.observer.read(bytes);
                    report.deleted += 1;
                    report.deleted_bytes += bytes;
                });
                let deleted = tokio::select! {
                    biased;
                    () = stop.cancelled() => return Err(CompactError::Stopped),
                    deleted = deleting => deleted,
                };
                self.observer.ended("deleted");
                deleted.map_err(|error| vacuum_error(table, error))?;
            }
            Ok(())
        };
        let done: Result<(), CompactError> = vacuuming.await;
        claim.release().await;
        done?;
        let deleted = metrics::counter!(
            "streamsync_compactor_objects_deleted_total", "table" => table.name().to_string()
        );
        deleted.increment(report.deleted);
        self.note_done(&job);
        Ok(report)
    }

    pub(super) async fn unneeded_files(&self, table: &Table) -> Result<Unneeded, CompactError> {
        let now = self.clock.unix_millis();
        let unneeded = table.unneeded_files(now, self.config.promise()).await;
        unneeded.map_err(|error| vacuum_error(table, error))
    }

    pub(super) async fn unneeded_log(&self, table: &Table) -> Result<Unneeded, CompactError> {
        let now = self.clock.unix_millis();
        let unneeded = table.unneeded_log(now, self.config.promise()).await;
        unneeded.map_err(|error| vacuum_error(table, error))
    }
}

fn vacuum_error(table: &Table, source: VacuumError) -> CompactError {
    CompactError::Vacuum {
        table: table.name().clone(),
        source: Box::new(source),
    }
}
