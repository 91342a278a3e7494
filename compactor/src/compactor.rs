//! The service: what is to be done, by whom, and doing it.

mod archive;
mod cleaning;
mod retention;
mod rolling;

use crate::{
    Observer, accounts,
    accounts::AccountsError,
    claims::Claims,
    merge::{MergeError, Merged, Merging, merge},
    plan::{Merge, Shape},
    report::{Report, TablePlan, TableStatus},
    rollup::RollupError,
    scratch::{Scratch, ScratchError},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use streamsync_core::{
    Level, PartitionValues, Scalar, TableName,
    clock::SharedClock,
    config::{CompactorConfig, RollupConfig},
    with_causes,
};
use streamsync_lake::{
    ArchiveError, CheckpointError, DataFile, Lake, ListFilesError, ListTablesError, OpenTableError,
    ReadLogError, ReplaceError, Table, VacuumError, tables,
};
use streamsync_registry::RegistryError;
use tokio_util::sync::CancellationToken;

/// So many files that are merged at once are reason for a checkpoint.
const MANY_FILES: u64 = 1_000;
/// The milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// Keeps a lake in shape. Cheap to share; any number of them may work on the same lake.
pub struct Compactor {
    lake: Lake,
    claims: Claims,
    config: CompactorConfig,
    clock: SharedClock,
    observer: Arc<dyn Observer>,
    scratch: Scratch,
    /// When each of the jobs was last done that are not done each time.
    done: Mutex<BTreeMap<String, Duration>>,
}

/// Why there is no compactor.
#[derive(Debug, thiserror::Error)]
pub enum OpenCompactorError {
    /// There is no folder to work in.
    #[error(transparent)]
    Scratch(#[from] ScratchError),
    /// The configuration names a table that is none.
    #[error("compactor.{setting} names `{table}`, which is not a table of the lake")]
    NoTable {
        /// What names it.
        setting: &'static str,
        /// The table.
        table: String,
    },
    /// Files are to have a storage class where there are none.
    #[error(
        "compactor.archive_class is {class}, and the lake is at {url}, where there are no storage \
         classes: leave it out, or use a bucket (s3://...)"
    )]
    NoClasses {
        /// The class.
        class: &'static str,
        /// The lake.
        url: String,
    },
    /// Rows would be deleted that a coarser level of a rollup is still computed from.
    #[error(
        "compactor.keep_days of `{table}` is {days}: each {level} of `{rollup}` is computed from it, \
         so keep at least {least}"
    )]
    TooShort {
        /// The table.
        table: String,
        /// For how long it would be kept.
        days: u32,
        /// The rollup.
        rollup: TableName,
        /// Its level.
        level: Level,
        /// How many days it has to be kept.
        least: u32,
    },
    /// The configuration names a table whose rows are not told apart by day.
    #[error(
        "compactor.{setting} names `{table}`, which is not cut by date: its rows stay where they \
         are for ever; leave it out"
    )]
    NotByDate {
        /// What names it.
        setting: &'static str,
        /// The table.
        table: String,
    },
}

/// Why a table was not looked after. What was done before stays done.
#[derive(Debug, thiserror::Error)]
pub enum CompactError {
    /// It was told to stop.
    #[error("the compactor was stopped")]
    Stopped,
    /// The tables could not be listed.
    #[error(transparent)]
    Tables(#[from] ListTablesError),
    /// The table could not be opened.
    #[error(transparent)]
    Open(#[from] OpenTableError),
    /// Its files could not be listed.
    #[error(transparent)]
    List(#[from] ListFilesError),
    /// Redis could not be asked who does what.
    #[error("could not claim work")]
    Claim(#[from] RegistryError),
    /// Files could not be merged.
    #[error("could not merge files of table `{table}`")]
    Merge {
        /// The table.
        table: TableName,
        /// The cause.
        #[source]
        source: Box<MergeError>,
    },
    /// Old rows could not be deleted, or archived files not be named.
    #[error("could not delete or move the rows of old days")]
    Replace(#[from] ReplaceError),
    /// Old files could not be archived.
    #[error("could not archive old files of table `{table}`")]
    Archive {
        /// The table.
        table: TableName,
        /// The cause.
        #[source]
        source: Box<ArchiveError>,
    },
    /// A rollup could not be brought up to date.
    #[error(transparent)]
    RollUp(#[from] Box<RollupError>),
    /// The accounts could not be looked at.
    #[error(transparent)]
    Accounts(#[from] Box<AccountsError>),
    /// A checkpoint could not be written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The log could not be read.
    #[error(transparent)]
    Log(#[from] ReadLogError),
    /// What nobody needs could not be found or deleted.
    #[error("could not delete what nobody needs of table `{table}`")]
    Vacuum {
        /// The table.
        table: TableName,
        /// The cause.
        #[source]
        source: Box<VacuumError>,
    },
}

impl Compactor {
    /// A compactor of a lake. Nothing is asked of the lake yet.
    pub fn open(
        lake: Lake,
        claims: Claims,
        config: CompactorConfig,
        clock: SharedClock,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, OpenCompactorError> {
        retention::check(&config)?;
        if let Some(class) = config.archive_class
            && lake.url().scheme() == "file"
        {
            return Err(OpenCompactorError::NoClasses {
                class: class.as_str(),
                url: lake.url().to_string(),
            });
        }
        Ok(Self {
            scratch: Scratch::open(config.scratch_folder.as_deref())?,
            lake,
            claims,
            config,
            clock,
            observer,
            done: Mutex::default(),
        })
    }

    /// Goes on until told to stop; a merge under way is broken off then, and nothing of it remains.
    pub async fn run(&self, stop: &CancellationToken) {
        let mut well = true;
        loop {
            match self.pass(stop, false).await {
                Ok(report) if report.failures.is_empty() => {
                    if !std::mem::replace(&mut well, true) {
                        tracing::info!("the compactor works again");
                    }
                }
                Ok(report) => {
                    well = false;
                    for failure in report.failures {
                        tracing::error!("{failure}");
                    }
                }
                Err(CompactError::Stopped) => return,
                Err(error) => {
                    well = false;
                    tracing::error!("{}", with_causes(&error));
                }
            }
            let wait = Duration::from_secs(self.config.every_s);
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Does all there is to do, once: merges until nothing is left to merge, and deletes what nobody
    /// needs.
    ///
    /// # Errors
    ///
    /// What fails with one table is in the report, and the others are looked after all the same.
    pub async fn once(&self, stop: &CancellationToken) -> Result<Report, CompactError> {
        self.pass(stop, true).await
    }

    async fn pass(&self, stop: &CancellationToken, vacuum: bool) -> Result<Report, CompactError> {
        let mut report = Report::default();
        // First, as rows are kept until they are rolled up.
        self.roll_up(&mut report, stop).await?;
        if vacuum || self.is_due(accounts::TABLE, self.config.accounts_every_s) {
            self.look_up_accounts(&mut report, stop).await?;
            self.note_done(accounts::TABLE);
        }
        for name in self.tables().await? {
            let done = self.look_after(&name, vacuum, &mut report, stop).await;
            match done {
                Ok(()) => {}
                Err(_) if stop.is_cancelled() => return Err(CompactError::Stopped),
                Err(error) => {
                    metrics::counter!("streamsync_compactor_failures_total", "table" => name.to_string())
                        .increment(1);
                    report.failures.push(with_causes(&error));
                }
            }
        }
        Ok(report)
    }

    /// The tables that are known, of those in the lake.
    async fn tables(&self) -> Result<Vec<TableName>, CompactError> {
        let mut names = self.lake.table_names().await?;
        names.retain(|name| {
            let known = tables::definition(name.as_str()).is_some();
            known || self.rollup_of(name).is_some()
        });
        Ok(names)
    }

    /// The rollup that a table belongs to.
    fn rollup_of(&self, table: &TableName) -> Option<&RollupConfig> {
        self.config.rollups.iter().find(|rollup| {
            let mut levels = rollup.levels.iter();
            levels.any(|level| rollup.table(*level) == table.as_str())
        })
    }

    /// The columns that a table is sorted by.
    fn order(&self, table: &Table) -> Vec<String> {
        match (table.definition(), self.rollup_of(table.name())) {
            (Some(definition), _) => definition.order().map(str::to_owned).collect(),
            (None, Some(rollup)) => {
                let groups = rollup.group_by.iter().cloned();
                groups.chain(["time".to_owned()]).collect()
            }
            (None, None) => Vec::new(),
        }
    }

    async fn look_after(
        &self,
        name: &TableName,
        vacuum: bool,
        report: &mut Report,
        stop: &CancellationToken,
    ) -> Result<(), CompactError> {
        let mut table = self.lake.table(name).await?;
        let merged_before = report.files_in;
        loop {
            let mut round = Report::default();
            let done = self.shape(&mut table, &mut round, stop).await;
            let more = round.did_something();
            *report += round;
            done?;
            if !more {
                break;
            }
        }
        self.archive(&mut table, report, stop).await?;
        self.publish(&table).await?;
        // Whoever opens the table need not read of all the files that are gone.
        let many = report.files_in - merged_before >= MANY_FILES;
        if self.checkpoint(&table, many).await? {
            report.checkpoints += 1;
        }
        let job = format!("vacuum:{name}");
        if vacuum || self.is_due(&job, self.config.vacuum_every_s) {
            *report += self.vacuum(&table, stop).await?;
        }
        Ok(())
    }

    /// Deletes old rows and does the merges that are due now.
    async fn shape(
        &self,
        table: &mut Table,
        report: &mut Report,
        stop: &CancellationToken,
    ) -> Result<(), CompactError> {
        *table = table.refresh().await?;
        self.expire(table, report).await?;
        for merge in self.merges(&table.files().await?) {
            if stop.is_cancelled() {
                return Err(CompactError::Stopped);
            }
            let job = format!("merge:{}/{}", table.name(), folder(&merge.partition));
            if let Some(claim) = self.claims.claim(&job).await? {
                let done = self.merge(table, &merge, &claim.lost, report, stop).await;
                claim.release().await;
                done?;
            }
        }
        Ok(())
    }

    async fn merge(
        &self,
        table: &mut Table,
        plan: &Merge,
        lost: &CancellationToken,
        report: &mut Report,
        stop: &CancellationToken,
    ) -> Result<(), CompactError> {
        // Who had the claim before may have done this very merge.
        *table = table.refresh().await?;
        let newest = table.files().await?;
        let there: BTreeSet<&str> = newest.iter().map(|file| file.path.as_str()).collect();
        if !plan
            .files
            .iter()
            .all(|file| there.contains(file.path.as_str()))
        {
            report.superseded += 1;
            return Ok(());
        }
        let job = format!(
            "merging {} files of {}/{}",
            plan.files.len(),
            table.name(),
            folder(&plan.partition)
        );
        self.observer.began(&job, plan.bytes());
        let broken_off = stop.child_token();
        let order = self.order(table);
        let by = Merging {
            order: &order,
            config: &self.config,
            scratch: &self.scratch,
            observer: &self.observer,
        };
        let merging = merge(table, plan, &by, &broken_off);
        let losing = async {
            lost.cancelled().await;
            broken_off.cancel();
            std::future::pending::<()>().await;
        };
        let merged = tokio::select! {
            merged = merging => merged,
            () = losing => Err(MergeError::Stopped),
        };
        match merged {
            Ok(Merged::Done {
                table: after,
                files,
                rows,
                bytes,
                duplicates,
            }) => {
                self.observer
                    .ended(&format!("{files} files of {bytes} bytes"));
                tracing::info!(
                    table = %table.name(),
                    partition = folder(&plan.partition),
                    files_in = plan.files.len(),
                    files_out = files,
                    bytes_in = plan.bytes(),
                    bytes_out = bytes,
                    rows,
                    duplicates,
                    generation = plan.generation,
                    version = after.version(),
                    "merged files"
                );
                *table = after;
                report.merges += 1;
                report.files_in += plan.files.len() as u64;
                report.files_out += files as u64;
                report.bytes_in += plan.bytes();
                report.bytes_out += bytes;
                report.duplicates += duplicates;
                let count = |what: &'static str, by: u64| {
                    metrics::counter!(what, "table" => table.name().to_string()).increment(by);
                };
                count("streamsync_compactor_merges_total", 1);
                count(
                    "streamsync_compactor_files_merged_total",
                    plan.files.len() as u64,
                );
                count("streamsync_compactor_bytes_read_total", plan.bytes());
                count("streamsync_compactor_bytes_written_total", bytes);
                count("streamsync_compactor_rows_total", rows);
                Ok(())
            }
            Ok(Merged::Superseded(newest)) => {
                self.observer.ended("another compactor was faster");
                *table = newest;
                report.superseded += 1;
                Ok(())
            }
            Err(MergeError::Stopped) if lost.is_cancelled() => {
                self.observer.ended("another compactor has it");
                report.superseded += 1;
                Ok(())
            }
            Err(source) => {
                self.observer.ended("failed");
                Err(CompactError::Merge {
                    table: table.name().clone(),
                    source: Box::new(source),
                })
            }
        }
    }

    fn merges(&self, files: &[DataFile]) -> Vec<Merge> {
        let now = self.clock.unix_millis();
        let settled = |partition: &PartitionValues| {
            let end = end_of(partition);
            end.is_some_and(|end| end + self.config.settled_after_s * 1_000 <= now)
        };
        Shape {
            target_bytes: self.config.target_file_bytes,
            fan_in: self.config.fan_in,
            merge_bytes: self.config.merge_bytes,
        }
        .merges(files, settled)
    }

    /// Whether something was last done so long ago that it is to be done again.
    fn is_due(&self, what: &str, every_s: u64) -> bool {
        let every = Duration::from_secs(every_s);
        let now = self.clock.monotonic();
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        let last = done.get(what);
        last.is_none_or(|last| now.saturating_sub(*last) >= every)
    }

    fn note_done(&self, what: &str) {
        let mut done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.insert(what.to_owned(), self.clock.monotonic());
    }

    /// What would be done, without doing it.
    pub async fn plan(&self) -> Result<Vec<TablePlan>, CompactError> {
        let mut plans = Vec::new();
        for name in self.tables().await? {
            let table = self.lake.table(&name).await?;
            let files = table.files().await?;
            let expired = self.expired(&table).await?;
            plans.push(TablePlan {
                merges: self.merges(&files),
                archive: self.to_archive(&table, &files),
                files: self.unneeded_files(&table).await?,
                log: self.unneeded_log(&table).await?,
                expired,
                table: name,
            });
        }
        Ok(plans)
    }

    /// How the tables are.
    pub async fn status(&self) -> Result<Vec<TableStatus>, CompactError> {
        let mut all = Vec::new();
        for name in self.tables().await? {
            all.push(self.status_of(&self.lake.table(&name).await?).await?);
        }
        Ok(all)
    }

    async fn status_of(&self, table: &Table) -> Result<TableStatus, CompactError> {
        let files = table.files().await?;
        let partitions: BTreeSet<&PartitionValues> =
            files.iter().map(|file| &file.partition).collect();
        let small = |file: &&DataFile| file.size < self.config.target_file_bytes / 2;
        let bytes: u64 = files.iter().map(|file| file.size).sum();
        let rewritten = files
            .iter()
            .map(|file| file.size as f64 * f64::from(file.generation()));
        let archived = files.iter().filter(|file| file.is_archived());
        let merges = self.merges(&files);
        Ok(TableStatus {
            table: table.name().clone(),
            version: table.version(),
            partitions: partitions.len(),
            small_files: files.iter().filter(small).count(),
            files: files.len(),
            archived_bytes: archived.map(|file| file.size).sum(),
            waiting_bytes: merges.iter().map(Merge::bytes).sum(),
            rewrites: rewritten.sum::<f64>() / bytes.max(1) as f64,
            bytes,
        })
    }

    /// Tells the metrics how a table is.
    async fn publish(&self, table: &Table) -> Result<(), CompactError> {
        let status = self.status_of(table).await?;
        let set = |what: &'static str, value: f64| {
            metrics::gauge!(what, "table" => table.name().to_string()).set(value);
        };
        set("streamsync_compactor_files", status.files as f64);
        set(
            "streamsync_compactor_small_files",
            status.small_files as f64,
        );
        set("streamsync_compactor_bytes", status.bytes as f64);
        set(
            "streamsync_compactor_archived_bytes",
            status.archived_bytes as f64,
        );
        set(
            "streamsync_compactor_waiting_bytes",
            status.waiting_bytes as f64,
        );
        set("streamsync_compactor_rewrites_ratio", status.rewrites);
        Ok(())
    }
}

/// When the day of a partition was over, in milliseconds since 1970.
fn end_of(partition: &PartitionValues) -> Option<u64> {
    let date = partition.get("date")?.as_deref()?;
    match Scalar::parse(&arrow::datatypes::DataType::Date32, date)? {
        Scalar::Date(day) => u64::try_from(i64::from(day) + 1)
            .ok()
            .map(|next| next * DAY_MS),
        _ => None,
    }
}

/// `date=2024-03-14`.
fn folder(partition: &PartitionValues) -> String {
    let parts = partition
        .iter()
        .map(|(column, value)| format!("{column}={}", value.as_deref().unwrap_or("NULL")));
    parts.collect::<Vec<_>>().join("/")
}
