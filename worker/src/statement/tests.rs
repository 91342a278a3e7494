//! Tests of what a statement reaches.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use proptest::prelude::*;

fn check_text(sql: &str) -> Result<Statement, NotOneSelect> {
    let connection = Connection::open_in_memory().unwrap();
    let tables = ["blocks", "signatures"].map(str::to_owned);
    check(&connection, sql, &tables.into())
}

fn columns(sql: &str) -> Columns {
    check_text(sql)
        .unwrap_or_else(|error| panic!("{sql}: {error}"))
        .columns
}

#[test]
fn a_statement_names_the_columns_that_it_may_need() {
    let named =
        |names: &[&str]| Columns::Named(names.iter().map(|&name| name.to_owned()).collect());
    assert_eq!(columns("SELECT count(*) FROM blocks"), named(&[]));
    assert_eq!(
        columns("SELECT Slot FROM blocks WHERE leader = $1 ORDER BY parent_slot LIMIT 1"),
        named(&["slot", "leader", "parent_slot"])
    );
    assert_eq!(
        columns("SELECT slot FROM blocks ORDER BY ALL LIMIT 1"),
        named(&["slot"])
    );
    assert_eq!(
        columns("SELECT b.slot FROM blocks b JOIN signatures USING (slot)"),
        named(&["slot"])
    );
    assert_eq!(
        columns("WITH a AS (SELECT slot s FROM blocks) SELECT max(a.s) FROM a"),
        named(&["slot", "s"])
    );
    for all in [
        "SELECT * FROM blocks",
        "SELECT blocks FROM blocks",
        "SELECT b FROM blocks AS b",
        "SELECT slot FROM blocks NATURAL JOIN signatures",
        "SELECT COLUMNS('s.*') FROM blocks",
        "SELECT x FROM blocks AS b(x)",
        "SELECT #1 FROM blocks",
        "SELECT slot FROM blocks ORDER BY * EXCLUDE (slot)",
        "SELECT slot FROM (SELECT * FROM blocks)",
        "SELECT x FROM (TABLE blocks) t(x)",
    ] {
        assert_eq!(columns(all), Columns::All, "{all}");
    }
}

#[test]
fn statements_that_make_rows_of_their_own_are_not_bounded() {
    assert!(
        check_text("SELECT slot FROM blocks, signatures")
            .unwrap()
            .bounded
    );
    for sql in [
        "SELECT 1 FROM range(5)",
        "SELECT unnest FROM blocks, unnest([1, 2])",
        "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT n FROM r",
    ] {
        assert!(!check_text(sql).unwrap().bounded, "{sql}");
    }
}

#[test]
fn what_queries_are_made_of_is_allowed() {
    for sql in [
        "SELECT 1",
        "SELECT slot % 2, -slot, slot || 'a', 'a' LIKE 'b%', 'a' NOT LIKE 'b' ESCAPE '!' FROM blocks",
        "SELECT 'a' ILIKE 'b', 'a' SIMILAR TO 'b', regexp_matches('a', 'b'), 'a' ^@ 'b'",
        "SELECT [1, 2][1], [1, 2][1:2], {'a': 1}.a, MAP {'a': 1}['a'], (1, 2)",
        "SELECT list_transform([1], lambda x: x + 1), [x + 1 FOR x IN [1] IF x > 0]",
        "SELECT count(*) FILTER (WHERE slot > 1) OVER (PARTITION BY leader ORDER BY slot) FROM blocks",
        "SELECT row_number() OVER (ORDER BY slot), ntile(4) OVER (ORDER BY slot) FROM blocks",
        "SELECT CASE WHEN slot > 1 THEN 'a' ELSE 'b' END, slot::VARCHAR, slot::DECIMAL(20, 2), slot::VARCHAR[], TRY_CAST(slot AS INT) FROM blocks",
        "SELECT INTERVAL 1 DAY, DATE '2024-03-14' + 1, extract(year FROM DATE '2024-03-14')",
        "SELECT TIMESTAMP '2024-03-14' AT TIME ZONE 'UTC', epoch_us(block_time) FROM blocks",
        "SELECT slot FROM blocks WHERE slot IN (SELECT slot FROM signatures) AND EXISTS (SELECT 1)",
        "SELECT slot FROM blocks UNION ALL SELECT slot FROM signatures ORDER BY 1 LIMIT 5 OFFSET 1",
        "SELECT DISTINCT leader FROM blocks GROUP BY ALL HAVING count(*) > 1 QUALIFY true",
        "SELECT slot FROM blocks GROUP BY GROUPING SETS ((slot), ())",
        "WITH a AS (SELECT 1 x), b AS (SELECT x FROM a) SELECT x FROM b, LATERAL (SELECT x + 1)",
        "SELECT * FROM (VALUES (1), (2)) v(x)",
        "SELECT a.slot FROM blocks a ASOF JOIN signatures b ON a.slot >= b.slot",
        "SELECT slot FROM blocks SEMI JOIN signatures USING (slot)",
        "FROM blocks",
        "SELECT count(*), count(DISTINCT slot), sum(slot), avg(slot), quantile_cont(slot, 0.5) FROM blocks",
    ] {
        if let Err(error) = check_text(sql) {
            panic!("{sql}: {error}");
        }
    }
}

#[test]
fn names_out_of_scope_are_refused() {
    for sql in [
        "SELECT * FROM transactions",
        "SELECT * FROM main.blocks",
        "SELECT * FROM memory.main.blocks",
        "SELECT * FROM temp.blocks",
        "SELECT * FROM sqlite_master",
        "SELECT * FROM duckdb_tables",
        "SELECT * FROM information_schema.tables",
        "SELECT * FROM 'blocks.parquet'",
        "SELECT * FROM \"/etc/passwd\"",
        // The name is known inside the parentheses only.
        "SELECT * FROM sqlite_master, (WITH sqlite_master AS (SELECT 1) SELECT * FROM sqlite_master)",
        // A table expression does not know itself, nor those after it.
        "WITH pg_class AS (SELECT * FROM pg_class) SELECT * FROM pg_class",
        "WITH a AS (SELECT * FROM pg_class), pg_class AS (SELECT 1) SELECT * FROM a",
    ] {
        let refused = check_text(sql).err();
        assert!(
            matches!(refused, Some(NotOneSelect::OutOfReach(_))),
            "{sql}: {refused:?}"
        );
    }
}

#[test]
fn what_is_too_long_or_too_deep_is_refused() {
    let long = format!("SELECT '{}'", "x".repeat(MAX_BYTES));
    assert!(matches!(check_text(&long), Err(NotOneSelect::TooLong(_))));
    for deep in [
        format!("SELECT {}1{}", "(".repeat(20_000), ")".repeat(20_000)),
        format!("SELECT {}1{}", "abs(".repeat(5_000), ")".repeat(5_000)),
        format!("SELECT {}1", "- ".repeat(100_000)),
        format!("SELECT 1{}", " + 1".repeat(50_000)),
        format!("SELECT {}1{}", "(SELECT ".repeat(5_000), ")".repeat(5_000)),
        format!("SELECT {}1{}", "[".repeat(50_000), "]".repeat(50_000)),
    ] {
        assert!(check_text(&deep).is_err(), "{}…", &deep[..40]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is cut out of a statement, or put into it, is checked or refused.
    #[test]
    fn mutilated_statements_do_no_harm(cut in 0usize..150, length in 0usize..40, put in "[ -~]{0,12}") {
        let whole = "WITH a AS (SELECT slot, count(*) n FROM blocks WHERE leader = 'x' GROUP BY 1) \
             SELECT a.slot, [n, 2], lower('é') FROM a JOIN signatures s USING (slot) ORDER BY ALL LIMIT 3";
        let characters: Vec<char> = whole.chars().collect();
        let end = (cut + length).min(characters.len());
        let mutilated: String = characters[..cut.min(end)]
            .iter()
            .copied()
            .chain(put.chars())
            .chain(characters[end..].iter().copied())
            .collect();
        let _checked = check_text(&mutilated);
    }
}
