//! Rollups: equal to a recount of the rows, whatever comes late and whoever dies.

use crate::fixture::{DAY, HOUR, compactor, config, name, over};
use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch,
    StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::DataType;
use duckdb::Connection;
use object_store::{ObjectStore, memory::InMemory};
use std::{path::PathBuf, sync::Arc, time::Duration};
use streamsync_core::config::{CompactorConfig, MeasureConfig, MeasureFunction, RollupConfig};
use streamsync_ingest::{IngestOptions, decoded, ingest, progress, source::synthetic::Synthetic};
use streamsync_lake::{Append, Appended, Lake, Table, tables};
use streamsync_testing::{DyingStore, Suite};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

pub fn add_to(suite: &mut Suite) {
    suite.needs_fixtures(
        "a day of swaps rolls up to the unit",
        |fixtures| async move { whirlpool(fixtures).await },
    );
    suite.test("what is shipped equals a recount", shipped);
    suite.test("late rows cost the times that they belong to", late);
    suite.test("averages keep sum and count", averages);
    suite.test("figures outlive the rows that they come from", outlive);
    suite.test("what cannot be rolled up is named", refused);
    suite.test("an endless rollup stops when told to", endless);
    suite.test("a rollup killed at any write counts nothing twice", killed);
}

fn never() -> CancellationToken {
    CancellationToken::new()
}

/// A lake in a folder, and a DuckDB that looks at its files.
struct Folder {
    folder: TempDir,
    lake: Lake,
}

impl Folder {
    fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let lake = over(folder.path().to_str().unwrap().to_owned());
        Self { folder, lake }
    }

    /// A DuckDB with a view of each of these tables.
    async fn duckdb(&self, tables: &[&str]) -> Connection {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch("SET TimeZone = 'UTC'").unwrap();
        for table in tables {
            let opened = self.lake.table(&name(table)).await.unwrap();
            let files = opened.files().await.unwrap();
            let root = self.folder.path().join(table);
            let files: Vec<String> = files
                .iter()
                .map(|file| format!("'{}'", root.join(&file.path).display()))
                .collect();
            let view = format!(
                "CREATE VIEW {table} AS SELECT * FROM read_parquet([{}])",
                files.join(", ")
            );
            connection.execute_batch(&view).unwrap();
        }
        connection
    }
}

fn count(connection: &Connection, query: &str) -> i64 {
    let text = format!("SELECT count(*) FROM ({query})");
    connection.query_row(&text, [], |row| row.get(0)).unwrap()
}

/// Fails unless two statements give the same rows, and some.
fn same(connection: &Connection, one: &str, other: &str) {
    let rows = count(connection, one);
    assert!(rows > 0, "no rows: {one}");
    assert_eq!(rows, count(connection, other), "{one}\n{other}");
    for (left, right) in [(one, other), (other, one)] {
        let missing = format!("({left}) EXCEPT ALL ({right})");
        assert_eq!(count(connection, &missing), 0, "{missing}");
    }
}

/// The figures of swaps, recounted from the rows by other means: windows instead of ordered
/// aggregates.
fn recount_swaps(level: &str) -> String {
    let place = "slot, transaction_index, swap_index";
    format!(
        "WITH priced AS (
             SELECT *, date_trunc('{level}', block_time) AS time,
                    amount_b::HUGEINT * 1000000000000 // amount_a::HUGEINT AS price
             FROM swaps WHERE amount_a > 0),
         ends AS (
             SELECT time, pool, price,
                    row_number() OVER (PARTITION BY time, pool ORDER BY {place}) AS first,
                    row_number() OVER (PARTITION BY time, pool ORDER BY ({place}) DESC) AS last
             FROM priced)
         SELECT date_trunc('{level}', block_time) AS time, pool, count(*) AS swaps,
                sum(amount_a)::DECIMAL(38, 0) AS volume_a, sum(amount_b)::DECIMAL(38, 0) AS volume_b,
                (SELECT price FROM ends e WHERE e.time = date_trunc('{level}', s.block_time)
                    AND e.pool = s.pool AND e.first = 1)::DECIMAL(38, 0) AS open,
                (SELECT max(price) FROM ends e WHERE e.time = date_trunc('{level}', s.block_time)
                    AND e.pool = s.pool)::DECIMAL(38, 0) AS high,
                (SELECT min(price) FROM ends e WHERE e.time = date_trunc('{level}', s.block_time)
                    AND e.pool = s.pool)::DECIMAL(38, 0) AS low,
                (SELECT price FROM ends e WHERE e.time = date_trunc('{level}', s.block_time)
                    AND e.pool = s.pool AND e.last = 1)::DECIMAL(38, 0) AS close
         FROM swaps s GROUP BY ALL"
    )
}

const SWAP_COLUMNS: &str = "time, pool, swaps, volume_a, volume_b, open, high, low, close";

async fn whirlpool(fixtures: PathBuf) {
    let folder = Folder::new();
    let file = fixtures.join("whirlpool/whirlpool-transaction-20220406.jsonl.gz");
    let report = decoded::ingest(&file, &folder.lake, &never())
        .await
        .unwrap();
    assert_eq!((report.blocks, report.swaps), (141_959, 9_466));
    let again = decoded::ingest(&file, &folder.lake, &never())
        .await
        .unwrap();
    assert_eq!((again.blocks, again.already_there), (0, 141_959));

    let report = compactor(&folder.lake, config(), Duration::ZERO)
        .once(&never())
        .await
        .unwrap();
    assert_eq!(report.failures, Vec::<String>::new());
    let levels = ["minute", "hour", "day", "month", "year"];
    let names: Vec<String> = levels.map(|level| format!("pool_swaps_{level}")).to_vec();
    let mut all: Vec<&str> = names.iter().map(String::as_str).collect();
    all.push("swaps");
    let duckdb = folder.duckdb(&all).await;
    for level in levels {
        let kept = format!("SELECT {SWAP_COLUMNS} FROM pool_swaps_{level}");
        same(&duckdb, &kept, &recount_swaps(level));
        let swaps = format!("SELECT unnest(range(swaps)) FROM pool_swaps_{level}");
        assert_eq!(count(&duckdb, &swaps), 9_466, "{level}");
    }
    // The day is 2022-04-06, from its first second to its last.
    assert_eq!(
        count(&duckdb, "SELECT DISTINCT time FROM pool_swaps_hour"),
        24
    );
    assert_eq!(
        count(&duckdb, "SELECT DISTINCT time FROM pool_swaps_year"),
        1
    );
}

async fn synthetic(lake: &Lake, seed: u64, slots: u64) {
    let source = Synthetic::new(seed, slots, 50);
    let silent = Arc::new(progress::Silent);
    let report = ingest(source, lake, IngestOptions::default(), silent).await;
    assert!(report.unwrap().is_complete());
}

async fn shipped() {
    let folder = Folder::new();
    synthetic(&folder.lake, 7, 1_500).await;
    let report = compactor(&folder.lake, config(), Duration::ZERO)
        .once(&never())
        .await
        .unwrap();
    assert_eq!(report.failures, Vec::<String>::new());
    let duckdb = folder
        .duckdb(&[
            "transactions",
            "instructions",
            "token_balances",
            "transaction_rates_hour",
            "transaction_rates_year",
            "program_fees_hour",
            "program_fees_day",
            "token_transfers_hour",
            "token_transfers_month",
        ])
        .await;
    for level in ["hour", "year"] {
        same(
            &duckdb,
            &format!(
                "SELECT time, transactions, votes, failed, fees FROM transaction_rates_{level}"
            ),
            &format!(
                "SELECT date_trunc('{level}', block_time), count(*), count(*) FILTER (is_vote),
                        count(*) FILTER (NOT success), sum(fee)
                 FROM transactions GROUP BY 1"
            ),
        );
    }
    for level in ["hour", "day"] {
        same(
            &duckdb,
            &format!(
                "SELECT time, program_id, transactions, failed, fees FROM program_fees_{level}"
            ),
            &format!(
                "SELECT date_trunc('{level}', t.block_time), p.program_id, count(*),
                        count(*) FILTER (NOT t.success), sum(t.fee)
                 FROM transactions t,
                      (SELECT slot, transaction_index, program_id FROM instructions
                       GROUP BY ALL) p
                 WHERE t.slot = p.slot AND t.transaction_index = p.transaction_index
                 GROUP BY 1, 2"
            ),
        );
    }
    for level in ["hour", "month"] {
        same(
            &duckdb,
            &format!("SELECT time, mint, transfers, amount FROM token_transfers_{level}"),
            &format!(
                "SELECT date_trunc('{level}', block_time), mint, count(*), sum(gained)
                 FROM (SELECT *, coalesce(post_amount, 0)::HUGEINT
                                 - coalesce(pre_amount, 0)::HUGEINT AS gained
                       FROM token_balances)
                 WHERE gained > 0 GROUP BY 1, 2"
            ),
        );
    }
}

/// Swaps, each at a number of minutes after the fixture's day began, in pool `P`, of an amount.
pub fn swaps(rows: &[(i64, i64)]) -> RecordBatch {
    let times = rows
        .iter()
        .map(|row| (i64::from(DAY) * 1_440 + row.0) * 60_000_000);
    let days = times
        .clone()
        .map(|time| time.div_euclid(86_400_000_000) as i32);
    let text = |value: &str| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(|_| value)))
    };
    let amounts = |times: i128| -> ArrayRef {
        let amounts = rows.iter().map(|row| i128::from(row.1) * times);
        let amounts = Decimal128Array::from_iter_values(amounts);
        Arc::new(amounts.with_data_type(DataType::Decimal128(20, 0)))
    };
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Date32Array::from_iter_values(days)),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        Arc::new(Int32Array::from_iter_values(0..rows.len() as i32)),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|_| 0))),
        text("signature"),
        text("P"),
        text("trader"),
        text("a"),
        text("b"),
        Arc::new(BooleanArray::from(vec![true; rows.len()])),
        amounts(1),
        amounts(2),
    ];
    let schema = tables::definition("swaps").unwrap().schema.clone();
    RecordBatch::try_new(schema, columns).unwrap()
}

async fn append(lake: &Lake, rows: &[(i64, i64)]) -> Table {
    let definition = tables::definition("swaps").unwrap();
    let table = lake.create_table(definition).await.unwrap();
    let append = Append {
        batches: vec![swaps(rows)],
        ..Append::default()
    };
    match table.append(append).await.unwrap() {
        Appended::Committed { table, .. } | Appended::AlreadyThere { table } => table,
    }
}

async fn late() {
    let folder = Folder::new();
    let lake = &folder.lake;
    let hours: Vec<(i64, i64)> = (0..48).map(|hour| (hour * 60 + 5, 100 + hour)).collect();
    append(lake, &hours).await;
    let now = compactor(lake, config(), Duration::ZERO);
    let report = now.once(&never()).await.unwrap();
    assert_eq!(report.failures, Vec::<String>::new());
    // 2024-03-14 and the day after: 48 minutes (of all between the first and the last row), 48
    // hours, two days, a month and a year.
    assert_eq!(report.rollups, 5, "{report}");
    let again = now.once(&never()).await.unwrap();
    assert_eq!((again.rollups, again.times), (0, 0), "{again}");

    // A row of the third hour comes late: one minute, one hour, one day, one month, one year.
    append(lake, &[(150, 7)]).await;
    let report = now.once(&never()).await.unwrap();
    assert_eq!(
        (report.rollups, report.failures.len()),
        (5, 0),
        "{report:?}"
    );
    assert!(report.times <= 5 + 2 * 24, "{report}");
    let duckdb = folder
        .duckdb(&[
            "swaps",
            "pool_swaps_minute",
            "pool_swaps_hour",
            "pool_swaps_month",
        ])
        .await;
    for level in ["minute", "hour", "month"] {
        let kept = format!("SELECT {SWAP_COLUMNS} FROM pool_swaps_{level}");
        same(&duckdb, &kept, &recount_swaps(level));
    }
    // Merging the rows changes no figure and computes none.
    for number in 0..6 {
        append(lake, &[(100 + number, 1)]).await;
    }
    now.once(&never()).await.unwrap();
    let merged = now.once(&never()).await.unwrap();
    assert_eq!(merged.times, 0, "{merged}");
    let duckdb = folder.duckdb(&["swaps", "pool_swaps_year"]).await;
    let kept = format!("SELECT {SWAP_COLUMNS} FROM pool_swaps_year");
    same(&duckdb, &kept, &recount_swaps("year"));
}

fn one(rows: &str, measure: MeasureConfig) -> CompactorConfig {
    let mut rollup: RollupConfig = config()
        .rollups
        .into_iter()
        .find(|rollup| rollup.name.as_str() == "pool_swaps")
        .unwrap();
    rollup.name = name("mine");
    rollup.rows = rows.to_owned();
    rollup.measures = vec![measure];
    CompactorConfig {
        rollups: vec![rollup],
        ..config()
    }
}

fn measure(function: MeasureFunction) -> MeasureConfig {
    MeasureConfig {
        name: "figure".to_owned(),
        function,
        of: Some("amount".to_owned()),
    }
}

const ROWS: &str = "SELECT block_time, pool, slot, transaction_index, swap_index, \
                    amount_a AS amount FROM swaps";

async fn averages() {
    let folder = Folder::new();
    append(&folder.lake, &[(0, 1), (70, 2), (80, 6), (3_000, 100)]).await;
    let config = one(ROWS, measure(MeasureFunction::Avg));
    let report = compactor(&folder.lake, config, Duration::ZERO)
        .once(&never())
        .await
        .unwrap();
    assert_eq!(report.failures, Vec::<String>::new());
    let duckdb = folder.duckdb(&["mine_hour", "mine_year"]).await;
    same(
        &duckdb,
        "SELECT figure_sum, figure_count FROM mine_hour",
        "SELECT * FROM (VALUES (1, 1), (8, 2), (100, 1))",
    );
    same(
        &duckdb,
        "SELECT figure_sum, figure_count FROM mine_year",
        "SELECT 109, 4",
    );
}

async fn outlive() {
    let folder = Folder::new();
    let lake = &folder.lake;
    // The second of the two days is too old in no test: it is kept.
    append(lake, &[(10, 5), (1_500, 6)]).await;
    let kept = |ahead: Duration| {
        let config = CompactorConfig {
            keep_days: [("swaps".to_owned(), 1)].into(),
            ..config()
        };
        compactor(lake, config, ahead)
    };
    // All of it is long ago, and so it goes, but not before it is rolled up.
    let report = kept(Duration::ZERO).once(&never()).await.unwrap();
    assert_eq!(report.failures, Vec::<String>::new());
    assert_eq!(report.expired_files, 2, "{report}");
    let swaps = lake.table(&name("swaps")).await.unwrap();
    assert!(swaps.files().await.unwrap().is_empty());
    let figures = "SELECT volume_a FROM pool_swaps_day";
    let duckdb = folder.duckdb(&["pool_swaps_day"]).await;
    same(&duckdb, figures, "SELECT * FROM (VALUES (5), (6))");
    // What comes now for these days is not all there is of them.
    append(lake, &[(20, 1_000)]).await;
    let report = kept(HOUR).once(&never()).await.unwrap();
    assert!(report.too_late > 0, "{report}");
    let duckdb = folder.duckdb(&["pool_swaps_day"]).await;
    same(&duckdb, figures, "SELECT * FROM (VALUES (5), (6))");
}

async fn refused() {
    let folder = Folder::new();
    append(&folder.lake, &[(0, 1)]).await;
    let fails = async |config: CompactorConfig| {
        let report = compactor(&folder.lake, config, Duration::ZERO)
            .once(&never())
            .await
            .unwrap();
        assert_eq!(report.rollups, 0, "{report}");
        report.failures.join("\n")
    };
    let sum = || measure(MeasureFunction::Sum);
    let said = fails(one("SELECT block_time, nothing FROM swaps", sum())).await;
    assert!(
        said.contains("`mine`") && said.contains("nothing"),
        "{said}"
    );
    let float = ROWS.replace("amount_a AS", "amount_a::DOUBLE AS");
    let said = fails(one(&float, sum())).await;
    assert!(
        said.contains("`amount`") && said.contains("Float64"),
        "{said}"
    );
    let outside = ROWS.replace("FROM swaps", "FROM read_csv('/etc/passwd')");
    let said = fails(one(&outside, sum())).await;
    assert!(said.contains("could not compute"), "{said}");
    let mut bucketed = one(ROWS, sum());
    bucketed.rollups[0].tables = vec![name("signatures")];
    folder.lake.create_tables().await.unwrap();
    let said = fails(bucketed).await;
    assert!(said.contains("`signatures`"), "{said}");
    let mut short = one(ROWS, sum());
    short.rollups[0]
        .levels
        .retain(|level| *level >= streamsync_core::Level::Month);
    short.keep_days = [("swaps".to_owned(), 5)].into();
    let clock = Arc::new(crate::fixture::Ahead(Duration::ZERO));
    let claims = streamsync_compactor::Claims::Alone;
    let silent = Arc::new(streamsync_compactor::Silent);
    let opened =
        streamsync_compactor::Compactor::open(folder.lake.clone(), claims, short, clock, silent);
    let said = opened.err().unwrap().to_string();
    assert!(said.contains("at least 62"), "{said}");
}

async fn endless() {
    let folder = Folder::new();
    append(&folder.lake, &[(0, 1)]).await;
    let rows = ROWS.replace("FROM swaps", "FROM swaps, range(1000000000000)");
    let config = one(&rows, measure(MeasureFunction::Sum));
    let endless = compactor(&folder.lake, config, Duration::ZERO);
    let stop = never();
    let stopping = async {
        // Nothing tells when DuckDB is in the middle of it.
        tokio::time::sleep(Duration::from_millis(500)).await;
        stop.cancel();
    };
    let (ended, ()) = tokio::join!(endless.once(&stop), stopping);
    assert!(ended.is_err());
    let table = folder.lake.table(&name("mine_minute")).await.unwrap();
    assert!(table.files().await.unwrap().is_empty());
}

async fn killed() {
    let store = |inner: Arc<dyn ObjectStore>| {
        Lake::with_store(url::Url::parse("memory:///rolling").unwrap(), inner).unwrap()
    };
    let origin = Arc::new(InMemory::new());
    append(&store(origin.clone()), &[(0, 1), (61, 2), (1_500, 3)]).await;
    let only_swaps = || {
        let mut config = config();
        config
            .rollups
            .retain(|rollup| rollup.name.as_str() == "pool_swaps");
        config
    };
    compactor(&store(origin.clone()), only_swaps(), Duration::ZERO)
        .once(&never())
        .await
        .unwrap();
    append(&store(origin.clone()), &[(2, 10), (1_501, 20)]).await;
    let whole = Arc::new(DyingStore::new(Arc::new(origin.fork()), usize::MAX));
    let later = compactor(&store(whole.clone()), only_swaps(), Duration::ZERO);
    let report = later.once(&never()).await.unwrap();
    assert_eq!(report.rollups, 5, "{report}");
    let writes = usize::MAX - whole.left();
    assert!(writes >= 10, "{writes}");
    for at in 0..writes {
        let kept = Arc::new(origin.fork());
        let dying = Arc::new(DyingStore::new(kept.clone(), at));
        let lake = store(dying.clone());
        let working = tokio::spawn(async move {
            let later = compactor(&lake, only_swaps(), Duration::ZERO);
            later.once(&never()).await
        });
        dying.died().await;
        working.abort();
        let _ = working.await;
        let lake = store(kept.clone());
        let report = compactor(&lake, only_swaps(), Duration::ZERO)
            .once(&never())
            .await
            .unwrap();
        assert_eq!(
            report.failures,
            Vec::<String>::new(),
            "killed at write {at}"
        );
        for (level, expected) in [
            ("minute", vec!["1", "2", "3", "10", "20"]),
            ("hour", vec!["2", "11", "23"]),
            ("day", vec!["13", "23"]),
            ("month", vec!["36"]),
            ("year", vec!["36"]),
        ] {
            let table = lake
                .table(&name(&format!("pool_swaps_{level}")))
                .await
                .unwrap();
            let mut volumes: Vec<String> = crate::fixture::all_rows(&table)
                .await
                .iter()
                .map(|row| row.split(" | ").nth(4).unwrap().to_owned())
                .collect();
            volumes.sort_by_key(|volume| volume.parse::<u64>().unwrap());
            assert_eq!(volumes, expected, "{level}, killed at write {at}");
        }
    }
}
