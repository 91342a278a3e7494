//! The worker itself: from a query to a signed answer.

use crate::{
    Answer, ExecuteError, OpenEngineError,
    admission::Admission,
    cancellation::Interruptible,
    engine::Engine,
    execution::{self, Found},
    hot_cache::HotCache,
    pin::Pin,
};
use futures::future::try_join_all;
use moka::future::Cache;
use std::{sync::Arc, time::Duration};
use streamsync_core::{
    Identity, Outcome, Query, SignedAnswer, TableName, WorkerId, clock::SharedClock,
    config::WorkerConfig,
};
use streamsync_lake::{DataFile, Lake, Table};
use streamsync_registry::Heartbeat;
use tokio_util::sync::CancellationToken;
use url::Url;

/// How many versions of tables a worker remembers the files of.
const REMEMBERED_VERSIONS: u64 = 1_024;

/// A worker. Cheap to clone; all clones are the same worker.
#[derive(Clone)]
pub struct Worker(Arc<Inner>);

struct Inner {
    identity: Identity,
    lake: Lake,
    engine: Arc<Engine>,
    cache: HotCache,
    tables: Cache<(TableName, u64), Table>,
    admission: Admission,
    clock: SharedClock,
    interval_ms: u64,
}

impl Worker {
    /// Opens DuckDB for a worker on a lake. Half of the memory is for the hot cache, half for
    /// running queries.
    pub fn open(
        config: &WorkerConfig,
        lake: Lake,
        identity: Identity,
        clock: SharedClock,
    ) -> Result<Self, OpenEngineError> {
        let engine = Engine::open(config)?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let concurrency = if config.concurrency == 0 {
            cores
        } else {
            config.concurrency
        };
        Ok(Self(Arc::new(Inner {
            identity,
            lake,
            cache: HotCache::new(Arc::clone(&engine), config.memory_bytes / 2),
            engine,
            tables: Cache::new(REMEMBERED_VERSIONS),
            admission: Admission::new(concurrency, config.queue),
            clock,
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
        Heartbeat {
            worker: self.id(),
            endpoint: endpoint.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            running: count(self.0.admission.running()),
            waiting: count(self.0.admission.waiting()),
            cached_bytes: self.0.cache.bytes(),
            interval_ms: self.0.interval_ms,
            sent_at_ms: self.0.clock.unix_millis(),
        }
    }

    /// Answers a query. Dropping the future stops the query.
    pub async fn execute(&self, query: Query) -> Result<Answer, ExecuteError> {
        let time_left = Duration::from_millis(query.time_left_ms);
        let began = self.0.clock.monotonic();
        let answer = tokio::time::timeout(time_left, self.answer(query)).await;
        let took = self.0.clock.monotonic().saturating_sub(began);
        let answer = answer.unwrap_or(Err(ExecuteError::Stopped));
        let result = outcome_label(&answer);
        metrics::histogram!("streamsync_worker_query_seconds", "result" => result)
            .record(took.as_secs_f64());
        answer
    }

    async fn answer(&self, query: Query) -> Result<Answer, ExecuteError> {
        let inner = &self.0;
        let place = inner.admission.enter().await?;
        let pins = self.pin(&query).await?;
        let interruptible = Interruptible::default();
        let (cancelled, ended) = (CancellationToken::new(), CancellationToken::new());
        let _cancel_when_dropped = cancelled.clone().drop_guard();
        tokio::spawn(interruptible.clone().watch(cancelled, ended.clone()));

        let engine = Arc::clone(&inner.engine);
        let (id, snapshot) = (query.id, query.snapshot.clone());
        let found = tokio::task::spawn_blocking(move || {
            // The place is given back when DuckDB has really stopped, not when the caller leaves.
            let (_place, _ended) = (place, ended.drop_guard());
            let mut session = engine
                .session()
                .map_err(|error| ExecuteError::Engine(error.to_string()))?;
            let found = execution::run(&mut session, &query, &pins, &interruptible);
            engine.give_back(session);
            found
        })
        .await??;
        let sign = |outcome: Outcome| SignedAnswer::new(&inner.identity, id, snapshot, outcome);
        match found {
            Found::Rows {
                outcome,
                schema,
                batches,
            } => Ok(Answer {
                signed: sign(outcome),
                schema,
                batches,
            }),
            Found::Refused(refusal, detail) => {
                let signed = Box::new(sign(Outcome::Refused(refusal)));
                Err(ExecuteError::Refused { signed, detail })
            }
        }
    }

    /// Brings what the query reads into the hot cache.
    async fn pin(&self, query: &Query) -> Result<Vec<Pin>, ExecuteError> {
        let tables = query.snapshot.iter();
        try_join_all(tables.map(|(name, version)| self.pin_table(query, name, version))).await
    }

    async fn pin_table(
        &self,
        query: &Query,
        name: &TableName,
        version: u64,
    ) -> Result<Pin, ExecuteError> {
        let key = (name.clone(), version);
        let open = self.0.lake.table_at(name, version);
        let table = self
            .0
            .tables
            .try_get_with(key, open)
            .await
            .map_err(|source| ExecuteError::Open {
                table: name.clone(),
                version,
                source,
            })?;
        let files = table.files().await.map_err(|source| ExecuteError::List {
            table: name.clone(),
            source,
        })?;
        let wanted = |file: &&DataFile| {
            query
                .partitions
                .iter()
                .any(|partition| partition.table == *name && partition.values == file.partition)
        };
        let files: Vec<DataFile> = files.iter().filter(wanted).cloned().collect();
        let files =
            self.0
                .cache
                .load(&table, files)
                .await
                .map_err(|source| ExecuteError::Load {
                    table: name.clone(),
                    source,
                })?;
        Ok(Pin {
            table: name.clone(),
            schema: table.schema(),
            files,
        })
    }
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
