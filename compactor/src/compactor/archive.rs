//! Putting the files of old days aside.

use super::{CompactError, Compactor, DAY_MS, end_of};
use crate::{plan::Merge, report::Report};
use std::collections::{BTreeMap, BTreeSet};
use streamsync_core::{PartitionValues, config::StorageClass};
use streamsync_lake::{DataFile, Replace, Replaced, Table};
use tokio_util::sync::CancellationToken;

impl Compactor {
    /// Moves the files of old days to the archive: copies first, then one commit a day that names
    /// them instead. The old files go with the next vacuum.
    pub(super) async fn archive(
        &self,
        table: &mut Table,
        report: &mut Report,
        stop: &CancellationToken,
    ) -> Result<(), CompactError> {
        let mut days: BTreeMap<PartitionValues, Vec<DataFile>> = BTreeMap::new();
        for file in self.to_archive(table, &table.files().await?) {
            days.entry(file.partition.clone()).or_default().push(file);
        }
        if days.is_empty() {
            return Ok(());
        }
        let job = format!("archive:{}", table.name());
        let Some(claim) = self.claims.claim(&job).await? else {
            return Ok(());
        };
        let archiving = async {
            for files in days.into_values() {
                self.archive_day(table, files, report).await?;
            }
            Ok(())
        };
        let done = tokio::select! {
            biased;
            // Copies that no version names are left to the next vacuum.
            () = stop.cancelled() => Err(CompactError::Stopped),
            () = claim.lost.cancelled() => Ok(()),
            done = archiving => done,
        };
        claim.release().await;
        done
    }

    async fn archive_day(
        &self,
        table: &mut Table,
        files: Vec<DataFile>,
        report: &mut Report,
    ) -> Result<(), CompactError> {
        let bytes: u64 = files.iter().map(|file| file.size).sum();
        let job = format!("archiving {} files of {}", files.len(), table.name());
        self.observer.began(&job, bytes);
        let class = self.config.archive_class.map(StorageClass::as_str);
        let mut copies = Vec::new();
        for file in &files {
            match table.stage_archived(file, class).await {
                Ok(copy) => copies.push(copy),
                Err(source) => {
                    table.discard(&copies).await;
                    self.observer.ended("failed");
                    return Err(CompactError::Archive {
                        table: table.name().clone(),
                        source: Box::new(source),
                    });
                }
            }
            self.observer.read(file.size);
        }
        let count = files.len() as u64;
        let replace = Replace {
            remove: files,
            add: copies,
            ..Replace::default()
        };
        match table.replace(replace).await? {
            Replaced::Committed(after) => {
                self.observer.ended("archived");
                tracing::info!(table = %table.name(), files = count, bytes, "archived files");
                let archived = metrics::counter!(
                    "streamsync_compactor_bytes_archived_total",
                    "table" => table.name().to_string()
                );
                archived.increment(bytes);
                *table = after;
                report.archived += count;
                report.archived_bytes += bytes;
            }
            Replaced::Superseded(newest) => {
                self.observer.ended("the files are others now");
                *table = newest;
            }
        }
        Ok(())
    }

    /// The files of days that are old enough, where none of their day are to be merged before.
    pub(super) fn to_archive(&self, table: &Table, files: &[DataFile]) -> Vec<DataFile> {
        let Some(&days) = self.config.archive_days.get(table.name().as_str()) else {
            return Vec::new();
        };
        let today = self.clock.unix_millis() / DAY_MS;
        let Some(before) = today.checked_sub(u64::from(days)) else {
            return Vec::new();
        };
        let merges: Vec<Merge> = self.merges(files);
        let unsettled: BTreeSet<_> = merges.iter().map(|merge| &merge.partition).collect();
        let due = |file: &&DataFile| {
            let old = end_of(&file.partition).is_some_and(|end| end <= before * DAY_MS);
            // There is nothing in an empty file to describe; other writers leave some.
            let empty = file.rows == Some(0);
            old && !empty && !file.is_archived() && !unsettled.contains(&file.partition)
        };
        files.iter().filter(due).cloned().collect()
    }
}
