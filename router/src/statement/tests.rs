#![allow(clippy::unwrap_used)]

use super::*;
use arrow::datatypes::SchemaRef;
use proptest::prelude::*;
use streamsync_core::config::BucketConfig;
use streamsync_lake::{ConstraintOp, Lake, Scalar, tables};

pub(crate) async fn catalog() -> Catalog {
    let bucket = BucketConfig {
        url: "memory:///statement".to_owned(),
        ..Default::default()
    };
    let lake = Lake::open(&bucket).unwrap();
    let mut all = Vec::new();
    for name in ["blocks", "transactions", "signatures"] {
        all.push(
            lake.create_table(tables::definition(name).unwrap())
                .await
                .unwrap(),
        );
    }
    let _: SchemaRef = all[0].schema();
    Catalog::new(all)
}

#[tokio::test]
async fn accepted_statements_are_made_deterministic() {
    let catalog = catalog().await;
    for (sql, rewritten, ordered) in [
        ("select slot from blocks", "SELECT slot FROM blocks", false),
        ("SELECT slot FROM BLOCKS;", "SELECT slot FROM BLOCKS", false),
        (
            "select slot from blocks -- all",
            "SELECT slot FROM blocks",
            false,
        ),
        (
            "select * from blocks limit 3",
            "SELECT * FROM blocks ORDER BY ALL LIMIT 3",
            true,
        ),
        (
            "select slot, fee from transactions order by fee desc limit 3",
            "SELECT slot, fee FROM transactions ORDER BY fee DESC, 1, 2 LIMIT 3",
            true,
        ),
        (
            "select * from blocks order by slot",
            "SELECT * FROM blocks ORDER BY slot, COLUMNS(*)",
            true,
        ),
        (
            "select max(slot) from (select slot from blocks limit 5) as five",
            "SELECT max(slot) FROM (SELECT slot FROM blocks ORDER BY ALL LIMIT 5) AS five",
            false,
        ),
        (
            "with b as (select slot from blocks) select count(*) from b",
            "WITH b AS (SELECT slot FROM blocks) SELECT count(*) FROM b",
            false,
        ),
        (
            "select 1 union select 2 order by 1",
            "SELECT 1 UNION SELECT 2 ORDER BY 1, 1",
            true,
        ),
        (
            "select sum(range) from range(5)",
            "SELECT sum(range) FROM range(5)",
            false,
        ),
        (
            "select string_agg(leader, ',' order by slot) from blocks",
            "SELECT string_agg(leader, ',' ORDER BY slot) FROM blocks",
            false,
        ),
    ] {
        let analysed = analyse(sql, &catalog, &[]).unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert_eq!(analysed.sql, rewritten);
        assert_eq!(analysed.ordered, ordered, "{sql}");
    }
}

#[tokio::test]
async fn refused_statements_say_why_and_where() {
    let catalog = catalog().await;
    for (sql, kind, position) in [
        ("", "not-one-statement", None),
        ("select 1; select 2", "not-one-statement", None),
        ("selec 1", "unparsable", Some((1, 1))),
        ("copy blocks to 'x'", "not-a-select", None),
        ("attach 'x' as y", "not-a-select", None),
        ("install httpfs", "not-a-select", None),
        ("load httpfs", "not-a-select", None),
        ("set threads = 4", "not-a-select", None),
        ("pragma version", "not-a-select", None),
        ("drop table blocks", "not-a-select", None),
        ("insert into blocks values (1)", "not-a-select", None),
        ("create table x as select 1", "not-a-select", None),
        ("explain select 1", "not-a-select", None),
        ("select * from blokcs", "unknown-table", Some((1, 15))),
        ("select *\nfrom nowhere", "unknown-table", Some((2, 6))),
        ("select * from main.blocks", "unknown-table", Some((1, 15))),
        (
            "select * from information_schema.tables",
            "unknown-table",
            Some((1, 15)),
        ),
        ("select * from 'file.csv'", "unknown-table", None),
        ("select * from \"file.csv\"", "unknown-table", Some((1, 15))),
        (
            "select * from read_csv('/etc/passwd')",
            "function-not-allowed",
            Some((1, 15)),
        ),
        (
            "select * from \"read_csv\"('/etc/passwd')",
            "function-not-allowed",
            Some((1, 15)),
        ),
        (
            "select * from READ_TEXT ( '/etc/passwd' )",
            "function-not-allowed",
            Some((1, 15)),
        ),
        (
            "select * from glob('*')",
            "function-not-allowed",
            Some((1, 15)),
        ),
        (
            "select * from query('select 1')",
            "function-not-allowed",
            Some((1, 15)),
        ),
        (
            "select * from duckdb_settings()",
            "function-not-allowed",
            Some((1, 15)),
        ),
        (
            "select getenv('HOME')",
            "function-not-allowed",
            Some((1, 8)),
        ),
        (
            "select /* x */ random()",
            "function-not-allowed",
            Some((1, 16)),
        ),
        ("select now()", "function-not-allowed", Some((1, 8))),
        (
            "select current_timestamp",
            "function-not-allowed",
            Some((1, 8)),
        ),
        (
            "select current_setting('x')",
            "function-not-allowed",
            Some((1, 8)),
        ),
        (
            "select slot from blocks where (select uuid()) = '1'",
            "function-not-allowed",
            Some((1, 39)),
        ),
        (
            "select first(slot) from blocks",
            "nondeterministic",
            Some((1, 8)),
        ),
        (
            "select list(slot) from blocks",
            "nondeterministic",
            Some((1, 8)),
        ),
        (
            "select row_number() over () from blocks",
            "nondeterministic",
            Some((1, 8)),
        ),
        (
            "select distinct on (leader) slot from blocks",
            "nondeterministic",
            Some((1, 1)),
        ),
        (
            "select * from blocks tablesample system (5 percent)",
            "clause-not-allowed",
            Some((1, 15)),
        ),
        (
            "select * from blocks for update",
            "clause-not-allowed",
            None,
        ),
        (
            "with blocks as (select 1) select * from blocks",
            "clause-not-allowed",
            Some((1, 6)),
        ),
        (
            "select * from blocks where slot = $1",
            "parameter-count",
            None,
        ),
        ("select $2", "parameter-count", None),
        ("select ?", "parameter-count", None),
        ("select $name", "parameter-count", None),
    ] {
        let refused = analyse(sql, &catalog, &[]).map(|analysed| analysed.sql);
        let refused = refused.expect_err(sql);
        assert_eq!(refused.kind(), kind, "{sql}: {refused}");
        let at = refused.position().map(|at| (at.line, at.column));
        assert_eq!(at, position, "{sql}: {refused}");
    }
    let suggestion = analyse("select * from blokcs", &catalog, &[])
        .unwrap_err()
        .to_string();
    assert!(
        suggestion.contains("did you mean `blocks`?"),
        "{suggestion}"
    );
}

#[tokio::test]
async fn long_and_deep_statements_are_refused() {
    let catalog = catalog().await;
    let long = format!("select '{}'", "x".repeat(MAX_BYTES));
    assert_eq!(
        analyse(&long, &catalog, &[]).unwrap_err().kind(),
        "statement-too-long"
    );
    let deep = format!("select {}1{}", "(".repeat(5_000), ")".repeat(5_000));
    assert_eq!(
        analyse(&deep, &catalog, &[]).unwrap_err().kind(),
        "statement-too-deep"
    );
}

#[tokio::test]
async fn conditions_are_found_only_where_they_hold_for_every_row() {
    let catalog = catalog().await;
    let text = |text: &str| Scalar::Text(text.to_owned());
    let eq = |column: &str, value: Scalar| Constraint {
        column: column.to_owned(),
        op: ConstraintOp::Eq(value),
    };
    let found = |sql: &str, parameters: &[Parameter]| {
        analyse(sql, &catalog, parameters).unwrap().constraints
    };
    let of = |sql: &str| found(sql, &[]).into_values().flatten().collect::<Vec<_>>();

    assert_eq!(
        of("select * from signatures where signature = 'x'"),
        [eq("signature", text("x"))]
    );
    assert_eq!(
        of("select * from signatures s where 'x' = s.signature"),
        [eq("signature", text("x"))]
    );
    assert_eq!(
        of("select * from blocks where slot = -5"),
        [eq("slot", Scalar::Int(-5))]
    );
    assert_eq!(
        of("select * from blocks where date = '2024-03-14' and transaction_count > 0"),
        [
            eq("date", Scalar::Date(19_796)),
            Constraint {
                column: "transaction_count".to_owned(),
                op: ConstraintOp::Gt(Scalar::Int(0)),
            },
        ]
    );
    let parameters = [Parameter::Text("x".to_owned())];
    let with_parameter = found("select * from signatures where signature = $1", &parameters);
    assert_eq!(with_parameter["signatures"], [eq("signature", text("x"))]);

    for without in [
        "select * from blocks where slot = 1 or slot = 2",
        "select * from blocks where not slot = 1",
        "select * from blocks where slot = '1'",
        "select * from blocks where date = '14.03.2024'",
        "select * from blocks where slot = 1 union all select * from blocks",
        "select * from blocks where slot = 1 and slot in (select slot + 1 from blocks)",
        "select * from transactions t left join blocks b using (slot) where b.slot = 1",
        "select count(*) filter (where slot = 1) from blocks",
        "select slot + 1 as slot from blocks having count(*) = 1",
    ] {
        let Ok(analysed) = analyse(without, &catalog, &[]) else {
            panic!("{without}")
        };
        assert_eq!(analysed.constraints, BTreeMap::new(), "{without}");
    }
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(sql in "\\PC{0,80}") {
        let _ = analyse(&sql, &Catalog::default(), &[]);
    }

    #[test]
    fn what_is_accepted_is_accepted_again_and_unchanged(
        column in prop_oneof![Just("1"), Just("a.range"), Just("abs(a.range) as b"), Just("*")],
        order in prop_oneof![Just(""), Just(" order by 1"), Just(" order by all")],
        limit in prop_oneof![Just(""), Just(" limit 3"), Just(" limit 3 offset 1")],
    ) {
        let sql = format!("select {column} from range(5) as a{order}{limit}");
        let once = analyse(&sql, &Catalog::default(), &[]).unwrap();
        let twice = analyse(&once.sql, &Catalog::default(), &[]).unwrap();
        prop_assert_eq!(once.ordered, twice.ordered);
        // Tie-breakers are added once more, which changes nothing.
        prop_assert!(twice.sql.starts_with(once.sql.split(" LIMIT").next().unwrap()));
    }
}

#[tokio::test]
async fn literals_beside_columns_of_their_type_become_parameters() {
    let catalog = catalog().await;
    let text = |text: &str| Parameter::Text(text.to_owned());
    let integer = Parameter::Integer;
    for (sql, rewritten, parameters) in [
        (
            "SELECT slot FROM signatures WHERE signature = '5V'",
            "SELECT slot FROM signatures WHERE signature = $1",
            vec![text("5V")],
        ),
        (
            "SELECT b.slot FROM blocks b WHERE 5 < b.slot AND NOT (b.leader <> 'x' OR slot = -7)",
            "SELECT b.slot FROM blocks b WHERE $1 < b.slot AND NOT (b.leader <> $2 OR slot = $3)",
            vec![integer(5), text("x"), integer(-7)],
        ),
        (
            "SELECT slot FROM blocks WHERE slot BETWEEN 1 AND 2 AND leader IN ('a', 'b')",
            "SELECT slot FROM blocks WHERE slot BETWEEN $1 AND $2 AND leader IN ($3, $4)",
            vec![integer(1), integer(2), text("a"), text("b")],
        ),
        // Not where a literal means more than its value, or is of another type.
        (
            "SELECT 5, abs(6), slot FROM blocks WHERE slot = '7' AND leader = 8 AND slot + 1 = 2 \
             AND block_time > '2024-03-14' AND slot = 1.5 GROUP BY 3 ORDER BY 3",
            "SELECT 5, abs(6), slot FROM blocks WHERE slot = '7' AND leader = 8 AND slot + 1 = 2 \
             AND block_time > '2024-03-14' AND slot = 1.5 GROUP BY 3 ORDER BY 3, 1, 2, 3",
            vec![],
        ),
        (
            "SELECT slot FROM (SELECT slot FROM blocks WHERE slot = 5) AS b WHERE slot = 5",
            "SELECT slot FROM (SELECT slot FROM blocks WHERE slot = 5) AS b WHERE slot = 5",
            vec![],
        ),
    ] {
        let analysed = analyse(sql, &catalog, &[]).unwrap();
        assert_eq!(analysed.sql, rewritten);
        assert_eq!(analysed.parameters, parameters);
    }
    let given = [text("x")];
    let sql = "SELECT slot FROM blocks WHERE leader = $1 AND slot = 5";
    let analysed = analyse(sql, &catalog, &given).unwrap();
    assert!(
        analysed.sql.ends_with("leader = $1 AND slot = $2"),
        "{}",
        analysed.sql
    );
    assert_eq!(analysed.parameters, [text("x"), integer(5)]);
    let sql = "SELECT slot FROM blocks WHERE leader = ? AND slot = 5";
    let analysed = analyse(sql, &catalog, &given).unwrap();
    assert!(
        analysed.sql.ends_with("leader = ? AND slot = 5"),
        "{}",
        analysed.sql
    );
    assert_eq!(analysed.parameters, given);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn statements_of_one_shape_have_one_text(one: i64, other: i64, key in "[1-9A-HJ-NP-Za-km-z]{1,88}") {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let catalog = runtime.block_on(catalog());
        let text = |slot: i64, key: &str| {
            let sql = format!("SELECT slot FROM signatures WHERE signature = '{key}' AND slot > {}", slot.max(0));
            analyse(&sql, &catalog, &[]).unwrap().sql
        };
        prop_assert_eq!(text(one, &key), text(other, "x"));
    }
}
