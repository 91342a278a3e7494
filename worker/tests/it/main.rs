//! A worker on a lake in memory: right answers, its cache, and what it refuses.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod prefetch;
mod sandbox;
mod tiers;

use arrow::{
    array::{ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray},
    compute::concat_batches,
};
use futures::FutureExt;
use std::{process::ExitCode, sync::Arc};
use streamsync_core::{
    Identity, Outcome, Parameter, Partition, Query, QueryId, Refusal,
    clock::{Clock, SystemClock},
    config::{BucketConfig, WorkerConfig},
};
use streamsync_lake::{Append, Appended, Lake, Table, tables};
use streamsync_testing::Suite;
use streamsync_worker::{Answer, ExecuteError, Worker};

fn main() -> ExitCode {
    let mut suite = Suite::new();
    suite.test("it answers from the lake and signs", answers);
    suite.test("two workers agree", agreement);
    suite.test("a query sees its snapshot, whatever came later", snapshots);
    suite.test(
        "partitions that the query does not name are not loaded",
        partitions,
    );
    suite.test("a table without files has no rows", empty_table);
    suite.test("a table gets its first files and loses them", first_files);
    suite.test("parameters keep their types", parameters);
    suite.test("faults on the data are refused as such", data_faults);
    suite.test("too large an answer is refused", too_large);
    suite.test("a deadline stops DuckDB and frees the place", deadline);
    suite.test(
        "a caller that goes away stops DuckDB and frees the place",
        hang_up,
    );
    prefetch::add_to(&mut suite);
    sandbox::add_to(&mut suite);
    tiers::add_to(&mut suite);
    suite.run()
}

/// A table `signatures` with some rows in two partitions, and a worker over it.
struct Fixture {
    lake: Lake,
    table: Table,
    worker: Worker,
}

async fn open_worker(lake: &Lake, seed: u8) -> Worker {
    open_worker_with(lake, seed, WorkerConfig::default()).await
}

/// A worker that runs one query of each kind at a time, with its share of the machine beside other tests.
async fn open_worker_with(lake: &Lake, seed: u8, config: WorkerConfig) -> Worker {
    let config = WorkerConfig {
        scans_give_way: false,
        concurrency: 1,
        queue: 1,
        ..config
    };
    let identity = Identity::from_seed([seed; 32]);
    let clock = Arc::new(SystemClock);
    Worker::open(&config, lake.clone(), identity, clock)
        .await
        .unwrap()
}

async fn fixture(name: &str) -> Fixture {
    let bucket = BucketConfig {
        url: format!("memory:///{name}"),
        ..BucketConfig::default()
    };
    let lake = Lake::open(&bucket).unwrap();
    let definition = tables::definition("account_transactions").unwrap();
    let table = lake.create_table(definition).await.unwrap();
    let table = append(&table, &[("alice", 1), ("bob", 2), ("alice", 3)]).await;
    let worker = open_worker(&lake, 1).await;
    Fixture {
        lake,
        table,
        worker,
    }
}

async fn append(table: &Table, rows: &[(&str, i64)]) -> Table {
    let buckets = rows.iter().map(|(account, _)| tables::bucket(account));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(buckets.collect::<Int32Array>()),
        Arc::new(
            rows.iter()
                .map(|(account, _)| Some(*account))
                .collect::<StringArray>(),
        ),
        Arc::new(rows.iter().map(|(_, slot)| *slot).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|_| 0).collect::<Int32Array>()),
        Arc::new(rows.iter().map(|_| Some(true)).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|_| Some(false)).collect::<BooleanArray>()),
    ];
    let batch = RecordBatch::try_new(table.schema(), columns).unwrap();
    let append = Append {
        batches: vec![batch],
        covers: None,
        transaction: None,
    };
    match table.append(append).await.unwrap() {
        Appended::Committed { table, .. } => table,
        Appended::AlreadyThere { .. } => panic!("nothing was there"),
    }
}

async fn query(table: &Table, sql: &str) -> Query {
    let files = table.files().await.unwrap();
    let mut partitions: Vec<_> = files
        .iter()
        .map(|file| Partition {
            table: table.name().clone(),
            values: file.partition.clone(),
        })
        .collect();
    partitions.dedup();
    Query {
        id: QueryId::new(&SystemClock, [1; 10]),
        sql: sql.to_owned(),
        parameters: Vec::new(),
        snapshot: [(table.name().clone(), table.version())]
            .into_iter()
            .collect(),
        partitions,
        constraints: Default::default(),
        ordered: true,
        time_left_ms: 60_000,
        max_rows: 1_000,
        max_bytes: 1 << 20,
    }
}

impl Fixture {
    async fn ask(&self, sql: &str) -> Result<Answer, ExecuteError> {
        self.worker.execute(query(&self.table, sql).await).await
    }
}

/// The rows of an answer with one column of integers.
fn integers(answer: &Answer) -> Vec<i64> {
    let rows = concat_batches(&answer.schema, &answer.batches).unwrap();
    let column = arrow::compute::cast(rows.column(0), &arrow::datatypes::DataType::Int64).unwrap();
    column
        .as_any()
        .downcast_ref::<Int64Array>()
        .unwrap()
        .values()
        .to_vec()
}

const COUNT: &str = "SELECT count(*) FROM account_transactions";

async fn answers() {
    let fixture = fixture("answers").await;
    let sql = "SELECT slot FROM account_transactions WHERE account = 'alice' ORDER BY slot";
    let answer = fixture.ask(sql).await.unwrap();
    assert_eq!(integers(&answer), [1, 3]);
    assert!(answer.signed.is_genuine());
    assert_eq!(answer.signed.worker, fixture.worker.id());
    assert!(matches!(
        answer.signed.outcome,
        Outcome::Rows { rows: 2, .. }
    ));
}

async fn agreement() {
    let fixture = fixture("agreement").await;
    let other = open_worker(&fixture.lake, 2).await;
    let query = query(
        &fixture.table,
        "SELECT account, count(*) FROM account_transactions GROUP BY 1",
    )
    .await;
    let query = Query {
        ordered: false,
        ..query
    };
    let one = fixture.worker.execute(query.clone()).await.unwrap();
    let two = other.execute(query).await.unwrap();
    assert_eq!(one.signed.outcome, two.signed.outcome);
    assert_ne!(one.signed.signature, two.signed.signature);
}

async fn snapshots() {
    let fixture = fixture("snapshots").await;
    let newer = append(&fixture.table, &[("carol", 9)]).await;
    assert_eq!(
        integers(
            &fixture
                .worker
                .execute(query(&newer, COUNT).await)
                .await
                .unwrap()
        ),
        [4]
    );
    assert_eq!(integers(&fixture.ask(COUNT).await.unwrap()), [3]);
    assert_eq!(
        integers(
            &fixture
                .worker
                .execute(query(&newer, COUNT).await)
                .await
                .unwrap()
        ),
        [4]
    );
}

async fn partitions() {
    let fixture = fixture("partitions").await;
    let mut query = query(&fixture.table, COUNT).await;
    let alice = tables::bucket("alice").to_string();
    query
        .partitions
        .retain(|partition| partition.values["bucket"].as_ref() == Some(&alice));
    assert_eq!(query.partitions.len(), 1);
    assert_eq!(integers(&fixture.worker.execute(query).await.unwrap()), [2]);
}

async fn empty_table() {
    let fixture = fixture("empty").await;
    let query = Query {
        partitions: vec![],
        ..query(&fixture.table, COUNT).await
    };
    assert_eq!(integers(&fixture.worker.execute(query).await.unwrap()), [0]);
}

/// The same statement again: what was planned for a table without files is not used for one with
/// some, nor the other way round.
async fn first_files() {
    let fixture = fixture("first-files").await;
    let full = query(&fixture.table, COUNT).await;
    let rows = integers(&fixture.worker.execute(full.clone()).await.unwrap());
    assert_ne!(rows, [0]);
    for _ in 0..2 {
        let empty = Query {
            partitions: vec![],
            ..full.clone()
        };
        assert_eq!(integers(&fixture.worker.execute(empty).await.unwrap()), [0]);
        let again = fixture.worker.execute(full.clone()).await.unwrap();
        assert_eq!(integers(&again), rows);
    }
}

async fn parameters() {
    let fixture = fixture("parameters").await;
    let sql = "SELECT count(*) FROM account_transactions WHERE account = $1 AND slot < $2";
    let mut query = query(&fixture.table, sql).await;
    query.parameters = vec![
        Parameter::Text("alice".into()),
        Parameter::Integer(u64::MAX.into()),
    ];
    assert_eq!(
        integers(&fixture.worker.execute(query.clone()).await.unwrap()),
        [2]
    );
    query.parameters.pop();
    let error = fixture.worker.execute(query.clone()).await.unwrap_err();
    assert!(matches!(error, ExecuteError::Refused { .. }), "{error:?}");
    query.parameters.push(Parameter::Text("many".into()));
    let error = fixture.worker.execute(query).await.unwrap_err();
    assert!(matches!(error, ExecuteError::Refused { .. }), "{error:?}");
}

async fn data_faults() {
    let fixture = fixture("data_faults").await;
    let sql = "SELECT account::BIGINT FROM account_transactions";
    let Err(ExecuteError::Refused { signed, .. }) = fixture.ask(sql).await else {
        panic!()
    };
    assert_eq!(signed.outcome, Outcome::Refused(Refusal::FailedOnData));
}

async fn too_large() {
    let fixture = fixture("too_large").await;
    for sql in [
        "SELECT * FROM range(1001)",
        "SELECT repeat('x', 10000) FROM range(1000)",
    ] {
        let Err(ExecuteError::Refused { signed, .. }) = fixture.ask(sql).await else {
            panic!()
        };
        assert_eq!(signed.outcome, Outcome::Refused(Refusal::AnswerTooLarge));
    }
    assert_eq!(
        integers(
            &fixture
                .ask("SELECT max(range) FROM range(1000)")
                .await
                .unwrap()
        ),
        [999]
    );
}

/// Runs for hours.
const ENDLESS: &str =
    "SELECT sum(a.range * b.range) FROM range(10000000) AS a, range(10000000) AS b";

async fn deadline() {
    let fixture = fixture("deadline").await;
    let endless = Query {
        time_left_ms: 50,
        ..query(&fixture.table, ENDLESS).await
    };
    let stopped = fixture.worker.execute(endless).await.unwrap_err();
    assert!(matches!(stopped, ExecuteError::Stopped));
    // There is one place only: this ends when the endless query has ended.
    assert_eq!(integers(&fixture.ask(COUNT).await.unwrap()), [3]);
}

async fn hang_up() {
    let fixture = fixture("hang_up").await;
    let began = SystemClock.monotonic();
    let mut endless = Box::pin(fixture.worker.execute(query(&fixture.table, ENDLESS).await));
    let endpoint = "http://127.0.0.1:1".parse().unwrap();
    while fixture.worker.heartbeat(&endpoint).running == 0 {
        assert!((&mut endless).now_or_never().is_none());
        assert!(SystemClock.monotonic() - began < std::time::Duration::from_secs(60));
    }
    drop(endless);
    assert_eq!(integers(&fixture.ask(COUNT).await.unwrap()), [3]);
}
