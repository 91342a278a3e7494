//! The worker itself: from a query to a signed answer.

use crate::{
    Answer, ExecuteError, OpenWorkerError,
    admission::Admission,
    budgets::Budgets,
    cache_report::CacheReport,
    cancellation::Interruptible,
    disk::Disk,
    disk_folder::DiskFolder,
    engine::{Engine, EngineLimits},
    execution::{self, Found, Shown},
    footers::Footers,
    grant,
    memory::Memory,
    reading::{Reading, Tables},
    scan::TableScan,
    scan_thread::{self, Share},
    statement::{Columns, Statement},
    statements::Statements,
    table_source::{self, Source, SourceRows},
    tiers::Tiers,
};
use futures::future::try_join_all;
use std::{sync::Arc, time::Duration};
use streamsync_core::{
    Amount, Identity, OperatorGrant, Outcome, Partition, Protocols, Query, SignedAnswer, TableName,
    WorkerId,
    clock::SharedClock,
    config::{Profile, WorkerConfig},
};
use streamsync_lake::Lake;
use streamsync_registry::Heartbeat;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;
use url::Url;

/// A worker. Cheap to clone; all clones are the same worker.
#[derive(Clone)]
pub struct Worker(Arc<Inner>);

struct Inner {
    identity: Identity,
    tables: Tables,
    tiers: Tiers,
    statements: Statements,
    lookups: Lane,
    scans: Lane,
    clock: SharedClock,
    concurrency: usize,
    memory_bytes: u64,
    profile: Profile,
    grant: Option<OperatorGrant>,
    ask: Amount,
    interval_ms: u64,
}

/// Where queries of one kind run: those of one do not wait for those of the other.
struct Lane {
    name: &'static str,
    engine: Arc<Engine>,
    admission: Admission,
    /// The memory of the process at which queries are stopped, where they can take much.
    most_memory: Option<u64>,
    /// The share of the threads that each query has of its own; `None` where they run on shared ones.
    own_threads: Option<Share>,
}

impl Worker {
    /// Opens a worker on a lake: takes its cache folder, keeps the copies that it finds there, and
    /// opens DuckDB.
    ///
    /// # Errors
    ///
    /// A cache folder that cannot be used or that another worker uses; limits that DuckDB does not
    /// take.
    pub async fn open(
        config: &WorkerConfig,
        lake: Lake,
        identity: Identity,
        clock: SharedClock,
    ) -> Result<Self, OpenWorkerError> {
        let grant = match &config.operator_grant {
            Some(file) => Some(grant::read(file, identity.id())?),
            None => None,
        };
        let folder = DiskFolder::open(config.cache_folder.as_deref())?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let or_cores = |number: usize| if number == 0 { cores } else { number };
        let budgets = Budgets::of(config.memory_bytes, config.profile);
        let spilled = (config.spill_bytes > 0).then(|| (folder.spill(), config.spill_bytes));
        let limits = |memory_bytes, threads, spill| EngineLimits {
            memory_bytes,
            threads,
            files: folder.files(),
            spill,
        };
        let for_scans = limits(budgets.scans, or_cores(config.threads), spilled);
        let share = match config.scans_give_way {
            true => Share::None,
            false => Share::Equal,
        };
        // DuckDB's own threads have the share of the one that opens it.
        let scan_engine = scan_thread::run(share, move || Engine::open(&for_scans))
            .await
            .map_err(OpenWorkerError::Thread)?;
        let concurrency = or_cores(config.concurrency);
        let lookups = Lane {
            name: "lookup",
            // A lookup is over before other threads could be of help.
            engine: Arc::new(Engine::open(&limits(budgets.lookups, 1, None))?),
            admission: Admission::new(concurrency, config.queue),
            most_memory: None,
            own_threads: None,
        };
        let scans = Lane {
            name: "scan",
            engine: Arc::new(scan_engine?),
            admission: Admission::new(concurrency, config.queue),
            most_memory: Some(budgets.most),
            own_threads: Some(share),
        };
        let disk = Disk::open(folder.clone(), config.disk_bytes)
            .await
            .map_err(|source| folder.unusable(source))?;
        let tiers = Tiers::new(
            Memory::new(budgets.rows),
            disk,
            Footers::new(budgets.footers),
        );
        Ok(Self(Arc::new(Inner {
            identity,
            tables: Tables::new(lake),
            tiers,
            statements: Statements::default(),
            lookups,
            scans,
            clock,
            concurrency,
            memory_bytes: config.memory_bytes,
            profile: config.profile,
            grant,
            ask: config.ask,
            interval_ms: config.heartbeat_ms,
        })))
    }

    /// The worker's name.
    pub fn id(&self) -> WorkerId {
        self.0.identity.id()
    }

    /// The worker's key pair.
    pub fn identity(&self) -> &Identity {
        &self.0.identity
    }

    /// What the worker says of itself now.
    pub fn heartbeat(&self, endpoint: &Url) -> Heartbeat {
        let count = |number| u32::try_from(number).unwrap_or(u32::MAX);
        let both = |of: fn(&Admission) -> usize| {
            count(of(&self.0.lookups.admission) + of(&self.0.scans.admission))
        };
        Heartbeat {
            worker: self.id(),
            endpoint: endpoint.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            protocols: Protocols::OWN,
            running: both(Admission::running),
            waiting: both(Admission::waiting),
            concurrency: count(self.0.concurrency),
            cached_bytes: self.0.tiers.memory.used() + self.0.tiers.disk.used(),
            memory_bytes: self.0.memory_bytes,
            disk_bytes: self.0.tiers.disk.budget(),
            profile: self.0.profile,
            grant: self.0.grant.clone(),
            ask: self.0.ask,
            versions: self.0.tables.snapshot(),
            holdings: self.0.tables.recent(),
            interval_ms: self.0.interval_ms,
            sent_at_ms: self.0.clock.unix_millis(),
        }
    }

    /// What the worker has at hand.
    pub async fn cache(&self) -> CacheReport {
        CacheReport::of(&self.0.tiers).await
    }

    /// Pulls partitions of the newest version of a table to the disk, and their pages into memory
    /// if `pages`, as long as there is room that nothing else needs.
    pub(crate) async fn pull_ahead(
        &self,
        table: &TableName,
        wanted: impl Fn(&Partition) -> bool,
        pages: bool,
    ) -> Result<(), ExecuteError> {
        let newest = self.0.tables.newest_files(table).await?;
        let Some((table, files)) = newest else {
            return Ok(());
        };
        for (values, files) in files.iter() {
            let partition = Partition {
                table: table.name().clone(),
                values: values.clone(),
            };
            if !wanted(&partition) {
                continue;
            }
            let pulled = self.0.tiers.pull_ahead(&table, files, pages).await;
            pulled.map_err(|source| ExecuteError::Load {
                table: table.name().clone(),
                source,
            })?;
            self.0.tables.note(std::slice::from_ref(&partition));
        }
        Ok(())
    }

    /// Answers a query. Dropping the future stops the query.
    pub async fn execute(&self, query: Query) -> Result<Answer, ExecuteError> {
        let time_left = Duration::from_millis(query.time_left_ms);
        let began = self.0.clock.monotonic();
        let answer = self.answer(query);
        let answer = tokio::time::timeout(time_left, answer).await;
        let took = self.0.clock.monotonic().saturating_sub(began);
        let answer = answer.unwrap_or(Err(ExecuteError::Stopped));
        let result = outcome_label(&answer);
        metrics::histogram!("streamsync_worker_query_seconds", "result" => result)
            .record(took.as_secs_f64());
        answer
    }

    async fn answer(&self, query: Query) -> Result<Answer, ExecuteError> {
        let readings = self.0.tables.readings(&query).await?;
        self.0.tables.note(&query.partitions);
        let statement = match self
            .0
            .statements
            .check(&self.0.lookups.engine, &query)
            .await?
        {
            Ok(statement) => statement,
            Err((refusal, detail)) => {
                return self.signed(&query, Found::Refused(refusal, detail));
            }
        };
        if statement.bounded && !readings.is_empty() {
            let (place, queued) = self.enter(&self.0.lookups).await?;
            if let Some(shown) = self.look_up(&readings).await? {
                let (place, cancelled) = (Arc::new(place), CancellationToken::new());
                let run = self.run(&self.0.lookups, place, &query, statement, shown, cancelled);
                return match run.await? {
                    Ran::Found(found) => Ok(Answer {
                        queued,
                        ..self.signed(&query, found)?
                    }),
                    Ran::CopyFailed(message) => Err(ExecuteError::Engine(message)),
                };
            }
        }
        let (place, queued) = self.enter(&self.0.scans).await?;
        let answer = self.scan(place, query, statement, readings).await?;
        Ok(Answer { queued, ..answer })
    }

    /// A place to run, and how long it was waited for.
    async fn enter(&self, lane: &Lane) -> Result<(OwnedSemaphorePermit, Duration), ExecuteError> {
        let began = self.0.clock.monotonic();
        let place = lane.admission.enter().await;
        let waited = self.0.clock.monotonic().saturating_sub(began);
        metrics::histogram!("streamsync_worker_queue_seconds", "lane" => lane.name)
            .record(waited.as_secs_f64());
        Ok((place?, waited))
    }

    /// The rows that the query reads, if it is a lookup: if it asks every table for few rows by
    /// the key that the table is sorted by.
    async fn look_up(&self, readings: &[Reading]) -> Result<Option<Vec<Shown>>, ExecuteError> {
        let mut shown = Vec::with_capacity(readings.len());
        for reading in readings {
            let Some((sort_column, keys)) = reading.keys() else {
                return Ok(None);
            };
            let rows = self
                .0
                .tiers
                .rows(&reading.table, &reading.files, sort_column, keys);
            let rows = rows.await.map_err(|source| reading.load_error(source))?;
            let Some(rows) = rows else {
                return Ok(None);
            };
            let schema = rows.first().map_or_else(
                || table_source::plain(&reading.table.schema()),
                |rows| rows.schema(),
            );
            let rows = SourceRows::Given(rows.into());
            shown.push(Shown::Given(
                reading.table.name().clone(),
                Source { schema, rows },
            ));
        }
        Ok(Some(shown))
    }

    /// Runs a query over all the rows that it may need.
    async fn scan(
        &self,
        place: OwnedSemaphorePermit,
        query: Query,
        statement: Arc<Statement>,
        readings: Vec<Reading>,
    ) -> Result<Answer, ExecuteError> {
        let place = Arc::new(place);
        let mut repaired = false;
        loop {
            let scans = readings
                .iter()
                .map(|reading| self.place(reading, &statement));
            let scans = try_join_all(scans).await?;
            let cancelled = CancellationToken::new();
            let shown = readings.iter().zip(&scans).map(|(reading, scan)| {
                let footers = &self.0.tiers.footers;
                let source = scan.source(&reading.constraints, footers, &cancelled);
                Shown::Scanned(Arc::clone(scan), source)
            });
            let (shown, again) = (shown.collect(), Arc::clone(&statement));
            let run = self.run(
                &self.0.scans,
                Arc::clone(&place),
                &query,
                again,
                shown,
                cancelled,
            );
            match run.await? {
                Ran::Found(found) => return self.signed(&query, found),
                // DuckDB could not read a copy. If one is damaged, another is made, once.
                Ran::CopyFailed(message) => {
                    if repaired || !self.drop_damaged(&scans).await {
                        return Err(ExecuteError::Engine(message));
                    }
                    repaired = true;
                }
            }
        }
    }

    async fn drop_damaged(&self, scans: &[Arc<TableScan>]) -> bool {
        let mut any = false;
        for (key, copy) in scans.iter().flat_map(|scan| scan.local_copies()) {
            any |= !self.0.tiers.disk.check(&key, copy).await;
        }
        any
    }

    async fn place(
        &self,
        reading: &Reading,
        statement: &Arc<Statement>,
    ) -> Result<Arc<TableScan>, ExecuteError> {
        let wants = Arc::clone(statement);
        let wants = Arc::new(move |column: &str| match &wants.columns {
            Columns::All => true,
            Columns::Named(names) => names.contains(&column.to_lowercase()),
        });
        let files = reading.files.clone();
        let placed = self.0.tiers.place(&reading.table, files.clone(), wants);
        let placed = placed.await.map_err(|source| reading.load_error(source))?;
        let scan = TableScan::new(reading.table.clone(), files, placed, &self.0.tiers.footers);
        Ok(Arc::new(
            scan.await.map_err(|source| reading.load_error(source))?,
        ))
    }

    /// Runs a query on DuckDB. Dropping the future stops it.
    async fn run(
        &self,
        lane: &Lane,
        place: Arc<OwnedSemaphorePermit>,
        query: &Query,
        statement: Arc<Statement>,
        shown: Vec<Shown>,
        cancelled: CancellationToken,
    ) -> Result<Ran, ExecuteError> {
        let interruptible = Interruptible::default();
        let _stop_when_dropped = interruptible.interrupt_on_drop(cancelled);
        if let Some(most) = lane.most_memory {
            tokio::spawn(interruptible.clone().watch_memory(most));
        }
        let (engine, query, running) = (
            Arc::clone(&lane.engine),
            query.clone(),
            interruptible.clone(),
        );
        let began = self.0.clock.monotonic();
        let work = move || {
            // The place is given back when DuckDB has really stopped, not when the caller leaves.
            let (_place, _ended) = (place, running.ended());
            let mut session = engine
                .session()
                .map_err(|error| ExecuteError::Engine(error.to_string()))?;
            let found = execution::run(&mut session, &query, &statement, shown, &running);
            engine.give_back(session);
            found
        };
        let span = tracing::debug_span!("duckdb", lane = lane.name);
        let found = if let Some(share) = lane.own_threads {
            let found = scan_thread::run(share, work).instrument(span).await;
            found.map_err(|error| ExecuteError::Engine(error.to_string()))?
        } else {
            tokio::task::spawn_blocking(work).instrument(span).await?
        };
        let took = self.0.clock.monotonic().saturating_sub(began);
        metrics::histogram!("streamsync_worker_execution_seconds", "lane" => lane.name)
            .record(took.as_secs_f64());
        if matches!(found, Err(ExecuteError::Stopped)) && interruptible.was_over_memory() {
            let message = "the worker's memory ran out while the query ran".to_owned();
            return Err(ExecuteError::OutOfMemory(message));
        }
        let message = match &found {
            Ok(Found::Refused(_, message)) | Err(ExecuteError::Engine(message)) => message,
            _ => return Ok(Ran::Found(found?)),
        };
        match self.0.tiers.disk.without_folder(message) {
            Some(message) => Ok(Ran::CopyFailed(message)),
            None => Ok(Ran::Found(found?)),
        }
    }

    fn signed(&self, query: &Query, found: Found) -> Result<Answer, ExecuteError> {
        let sign = |outcome: Outcome| {
            SignedAnswer::new(&self.0.identity, query.id, query.snapshot.clone(), outcome)
        };
        match found {
            Found::Rows {
                outcome,
                schema,
                batches,
            } => Ok(Answer {
                signed: sign(outcome),
                schema,
                batches,
                queued: Duration::ZERO,
            }),
            Found::Refused(refusal, detail) => {
                let signed = Box::new(sign(Outcome::Refused(refusal)));
                Err(ExecuteError::Refused { signed, detail })
            }
        }
    }
}

/// What running a query on DuckDB came to.
enum Ran {
    Found(Found),
    /// DuckDB's message is about a copy on the local disk.
    CopyFailed(String),
}

fn outcome_label(answer: &Result<Answer, ExecuteError>) -> &'static str {
    match answer {
        Ok(_) => "rows",
        Err(ExecuteError::Refused { .. }) => "refused",
        Err(ExecuteError::Busy(_)) => "busy",
        Err(ExecuteError::Stopped) => "stopped",
        Err(_) => "failed",
    }
}
