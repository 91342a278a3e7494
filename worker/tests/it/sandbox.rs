//! Statements that try to reach more than the lake's tables, or to take more than their share. Each
//! ends in a clear error, and the next query on that worker is answered.

use crate::{COUNT, Fixture, fixture, integers, open_worker_with, query};
use streamsync_core::{Outcome, Query, Refusal, config::WorkerConfig};
use streamsync_testing::Suite;
use streamsync_worker::ExecuteError;

pub fn add_to(suite: &mut Suite) {
    suite.test("attacks on what is out of reach are refused", out_of_reach);
    suite.test("attacks on the data end in an error", on_the_data);
    suite.test(
        "attacks on time and memory end within the limits",
        exhausting,
    );
}

/// What no query may say. The lake's table is `account_transactions`.
const OUT_OF_REACH: &[&str] = &[
    // Statements that are not one SELECT.
    "",
    ";",
    "-- nothing",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP VIEW account_transactions",
    "DROP VIEW account_transactions",
    "DROP TABLE account_transactions",
    "CREATE TABLE mine AS SELECT 1",
    "CREATE OR REPLACE TEMP VIEW account_transactions AS SELECT 1",
    "CREATE MACRO lower(x) AS 'hacked'",
    "CREATE FUNCTION f(x) AS TABLE SELECT x",
    "CREATE SECRET s (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "CREATE TYPE mood AS ENUM ('a')",
    "CREATE SEQUENCE s",
    "INSERT INTO account_transactions VALUES (1)",
    "UPDATE account_transactions SET slot = 0",
    "DELETE FROM account_transactions",
    "TRUNCATE account_transactions",
    "MERGE INTO account_transactions USING (SELECT 1) s ON true WHEN MATCHED THEN DELETE",
    "ALTER TABLE account_transactions ADD COLUMN x INTEGER",
    "COPY (SELECT 1) TO '/tmp/streamsync-attack.csv'",
    "COPY account_transactions FROM '/etc/passwd'",
    "EXPORT DATABASE '/tmp/streamsync-attack'",
    "IMPORT DATABASE '/tmp/streamsync-attack'",
    "ATTACH '/tmp/streamsync-attack.db'",
    "ATTACH ':memory:' AS other",
    "DETACH memory",
    "USE temp",
    "INSTALL httpfs",
    "LOAD httpfs",
    "LOAD '/tmp/evil.duckdb_extension'",
    "SET memory_limit = '100GB'",
    "SET enable_external_access = true",
    "SET VARIABLE x = 1",
    "RESET ALL",
    "PRAGMA enable_profiling",
    "PRAGMA database_list",
    "CALL pragma_version()",
    "CALL force_checkpoint()",
    "CHECKPOINT",
    "VACUUM",
    "ANALYZE",
    "BEGIN TRANSACTION",
    "ROLLBACK",
    "EXPLAIN ANALYZE SELECT 1",
    "PREPARE p AS SELECT 1",
    "EXECUTE p",
    "DEALLOCATE p",
    "SHOW TABLES",
    "DESCRIBE account_transactions",
    "SUMMARIZE account_transactions",
    // Files.
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM read_blob('/etc/passwd')",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_csv_auto('/etc/passwd')",
    "SELECT * FROM read_json('/etc/passwd')",
    "SELECT * FROM read_json_objects('/etc/passwd')",
    "SELECT * FROM read_ndjson('/etc/passwd')",
    "SELECT * FROM read_parquet('/tmp/*.parquet')",
    "SELECT * FROM parquet_scan('/tmp/*.parquet')",
    "SELECT * FROM parquet_metadata('/tmp/a.parquet')",
    "SELECT * FROM parquet_schema('/tmp/a.parquet')",
    "SELECT * FROM parquet_kv_metadata('/tmp/a.parquet')",
    "SELECT * FROM parquet_file_metadata('/tmp/a.parquet')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM '/etc/passwd.csv'",
    "SELECT * FROM \"/etc/passwd.csv\"",
    "FROM 's3://bucket/file.parquet'",
    "SELECT * FROM 'https://example.org/file.parquet'",
    "SELECT (SELECT content FROM read_text('/etc/passwd'))",
    "SELECT [x FOR x IN (SELECT list(content) FROM read_text('/etc/passwd'))]",
    "WITH a AS (SELECT * FROM read_text('/etc/passwd')) SELECT 1",
    "SELECT * FROM account_transactions, LATERAL (SELECT * FROM glob('/*'))",
    "SELECT slot FROM account_transactions ORDER BY (SELECT count(*) FROM glob('/*'))",
    "SELECT 1 LIMIT (SELECT count(*) FROM glob('/*'))",
    "SELECT * REPLACE ((SELECT count(*) FROM glob('/*')) AS slot) FROM account_transactions",
    "SELECT slot FROM account_transactions ORDER BY * REPLACE ((SELECT count(*) FROM glob('/*')) AS slot)",
    "SELECT slot FROM account_transactions ORDER BY COLUMNS(x -> (SELECT count(*) FROM glob('/*')) > 0)",
    "WITH \"/\u{212a}/*.csv\" AS (SELECT 1) SELECT * FROM \"/k/*.csv\"",
    "SELECT CAST('a' AS VARCHAR(length(getenv('HOME'))))",
    "SELECT * FROM account_transactions a POSITIONAL JOIN account_transactions b",
    // Settings, secrets and what else runs here.
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_settings()",
    "SELECT * FROM duckdb_tables()",
    "SELECT * FROM duckdb_views()",
    "SELECT * FROM duckdb_functions()",
    "SELECT * FROM duckdb_temporary_files()",
    "SELECT * FROM duckdb_logs()",
    "SELECT * FROM pragma_version()",
    "SELECT * FROM which_secret('s3://a', 's3')",
    "SELECT * FROM sqlite_master",
    "SELECT * FROM information_schema.tables",
    "SELECT * FROM pg_catalog.pg_tables",
    "SELECT * FROM memory.main.account_transactions",
    "SELECT * FROM temp.account_transactions",
    "SELECT current_setting('memory_limit')",
    "SELECT getvariable('x')",
    "SELECT getenv('HOME')",
    // Nothing stops it before it is done with one value, and that can be of any size.
    "SELECT list_resize([1], 4000000000)",
    "SELECT len(list_transform(range(1000000000), lambda x: x * 2))",
    "SELECT range(slot) FROM account_transactions",
    "SELECT unnest(generate_series(1, 100000000))",
    "SELECT length(repeat('x', 10000000000))",
    "SELECT bitstring('1', 2000000000)",
    "SELECT printf('%2000000000d', 1)",
    "SELECT format('{:2000000000}', 1)",
    "SELECT repeat(account, slot) FROM account_transactions",
    "SELECT rpad('x', 5000 * 5000, 'y'), lpad('x', 2000000000, 'y')",
    "SELECT current_database(), current_schema(), version()",
    "SELECT current_query()",
    "SELECT txid_current()",
    "SELECT nextval('s')",
    "SELECT pg_get_viewdef('account_transactions')",
    "SELECT text_parameter_0(1)",
    "SELECT * FROM table_source_0('account_transactions')",
    // Statements in texts.
    "SELECT * FROM query('SELECT * FROM duckdb_settings()')",
    "SELECT * FROM query_table('duckdb_settings')",
    "SELECT json_execute_serialized_sql('{}')",
    "SELECT * FROM json_execute_serialized_sql(json_serialize_sql('SELECT 1'))",
    "SELECT json_serialize_sql('SELECT 1')",
    "SELECT sql_auto_complete('SEL')",
    // What is not the same on every worker.
    "SELECT random()",
    "SELECT uuid()",
    "SELECT gen_random_uuid()",
    "SELECT now()",
    "SELECT current_timestamp",
    "SELECT today()",
    "SELECT slot FROM account_transactions USING SAMPLE 1",
    "SELECT slot FROM account_transactions TABLESAMPLE reservoir(1)",
    "PIVOT account_transactions ON account USING count(*)",
    "SELECT * FROM account_transactions AT (VERSION => 1)",
    // What does not exist.
    "SELECT no_such_column FROM account_transactions",
    "SELECT * FROM no_such_table",
    "SELECT no_such_function(1)",
    "SELECT \u{202e}1 FROM account_transactions; --\u{202d}",
    "SELECT * FROM account\u{200b}_transactions",
];

impl Fixture {
    async fn still_answers(&self, after: &str) {
        let answer = self.ask(COUNT).await;
        assert_eq!(integers(&answer.expect(after)), [3], "after {after}");
    }
}

async fn out_of_reach() {
    let fixture = fixture("out_of_reach").await;
    for sql in OUT_OF_REACH {
        let error = fixture.ask(sql).await.expect_err(sql);
        let ExecuteError::Refused { signed, detail } = &error else {
            panic!("{sql}: {error:?}")
        };
        assert!(signed.is_genuine() && !detail.is_empty());
        assert!(!detail.contains("streamsync-worker-"), "{sql}: {detail}");
        let refusal = Outcome::Refused(Refusal::InvalidQuery);
        assert_eq!(signed.outcome, refusal, "{sql}: {detail}");
        fixture.still_answers(sql).await;
    }
    assert!(!std::path::Path::new("/tmp/streamsync-attack.csv").exists());
}

async fn on_the_data() {
    let fixture = fixture("on_the_data").await;
    for sql in [
        "SELECT account::BIGINT FROM account_transactions",
        "SELECT 170141183460469231731687303715884105727::HUGEINT + slot FROM account_transactions",
        "SELECT 9223372036854775807 + slot FROM account_transactions",
        "SELECT make_date(slot, 99, 99) FROM account_transactions",
        "SELECT regexp_matches(account, '(') FROM account_transactions",
        "SELECT (SELECT slot FROM account_transactions)",
        "SELECT strptime(account, '%Y') FROM account_transactions",
        "SELECT chr(1114112 + slot::INTEGER) FROM account_transactions",
    ] {
        let error = fixture.ask(sql).await.expect_err(sql);
        let refused = matches!(error, ExecuteError::Refused { .. });
        assert!(refused, "{sql}: {error:?}");
        fixture.still_answers(sql).await;
    }
}

/// A text that gets twice as long with each step.
fn doubled() -> String {
    let steps = (1..40).map(|step| format!(", s{step} AS (SELECT x || x AS x FROM s{})", step - 1));
    format!(
        "WITH s0 AS (SELECT repeat('x', 10000) AS x) {} SELECT length(x) FROM s39",
        steps.collect::<String>()
    )
}

async fn exhausting() {
    let mut fixture = fixture("exhausting").await;
    fixture.worker = open_worker_with(
        &fixture.lake,
        1,
        WorkerConfig {
            memory_bytes: 256 << 20,
            spill_bytes: 64 << 20,
            ..WorkerConfig::default()
        },
    )
    .await;
    let all = "account_transactions";
    let attacks = [
        "SELECT count(*) FROM range(1000000000000)".to_owned(),
        "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b".to_owned(),
        "SELECT length(string_agg(range::VARCHAR, ',')) FROM range(1000000000)".to_owned(),
        "SELECT list(range) FROM range(1000000000)".to_owned(),
        "SELECT count(DISTINCT range::VARCHAR || 'x') FROM range(1000000000)".to_owned(),
        "SELECT range FROM range(1000000000) ORDER BY hash(range)".to_owned(),
        "SELECT sum(range) OVER (ORDER BY hash(range)) FROM range(1000000000)".to_owned(),
        "SELECT * FROM range(100000)".to_owned(),
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r"
            .to_owned(),
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n * 2 % 1e9 FROM r, range(9)) \
         SELECT count(*) FROM r"
            .to_owned(),
        format!(
            "SELECT count(*) FROM {}",
            [all; 40].map(|t| format!("{t} CROSS JOIN")).join(" ") + " range(9)"
        ),
        format!("SELECT {}", vec!["repeat('x', 10000)"; 400].join(", ")),
        doubled(),
        "SELECT regexp_matches(repeat('a', 10000), '(a+)+$') FROM range(1000000000)".to_owned(),
        "SELECT max(levenshtein(repeat('a', 10000), range::VARCHAR)) FROM range(1000000000)"
            .to_owned(),
        format!("SELECT 1{}", " + 1".repeat(50_000)),
        format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000)),
        format!("SELECT {}1{}", "abs(".repeat(5_000), ")".repeat(5_000)),
        format!("SELECT '{}'", "x".repeat(1 << 20)),
        format!(
            "SELECT slot FROM {all} WHERE slot IN ({}0)",
            "0, ".repeat(300_000)
        ),
    ];
    for sql in attacks {
        let short: String = sql.chars().take(80).collect();
        let limited = Query {
            time_left_ms: 1_500,
            ..query(&fixture.table, &sql).await
        };
        let error = fixture.worker.execute(limited).await.expect_err(&short);
        let clear = matches!(
            error,
            ExecuteError::Refused { .. } | ExecuteError::Stopped | ExecuteError::OutOfMemory(_)
        );
        assert!(clear, "{short}: {error:?}");
        fixture.still_answers(&short).await;
    }
}
