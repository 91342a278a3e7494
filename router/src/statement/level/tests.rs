#![allow(clippy::unwrap_used, clippy::panic)]

use crate::{Catalog, statement::analyse_at};
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use std::sync::Arc;
use streamsync_core::{
    Level, Parameter, Recorded, RollupState, TableName,
    config::{BucketConfig, MeasureFunction},
};
use streamsync_lake::Lake;

/// A rollup `pool_swaps` of all levels, with a year that is behind where that is wanted.
async fn catalog(behind: Option<Level>) -> Catalog {
    let bucket = BucketConfig {
        url: "memory:///levels".to_owned(),
        ..Default::default()
    };
    let lake = Lake::open(&bucket).unwrap();
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let figure = |name: &str| Field::new(name, DataType::Decimal128(38, 0), true);
    let schema = Arc::new(Schema::new(vec![
        Field::new("date", DataType::Date32, false),
        Field::new("time", utc, false),
        Field::new("pool", DataType::Utf8, true),
        Field::new("swaps", DataType::Int64, true),
        figure("volume"),
        figure("open"),
        figure("high"),
    ]));
    let name = |level: Level| TableName::new(format!("pool_swaps_{level}")).unwrap();
    let mut opened = Vec::new();
    for level in Level::ALL {
        let table = lake
            .create_derived_table(&name(level), &schema, "date")
            .await;
        opened.push(table.unwrap());
    }
    let mut catalog = Catalog::new(opened);
    let mut finer = TableName::new("swaps").unwrap();
    for level in Level::ALL {
        let version = if behind == Some(level) { 7 } else { 0 };
        let recorded = |name: &str, function| Recorded {
            name: name.to_owned(),
            function,
        };
        let state = RollupState {
            rollup: TableName::new("pool_swaps").unwrap(),
            level,
            sources: [(finer, version)].into(),
            group_by: vec!["pool".to_owned()],
            columns: vec![
                recorded("swaps", MeasureFunction::Count),
                recorded("volume", MeasureFunction::Sum),
                recorded("open", MeasureFunction::First),
                recorded("high", MeasureFunction::Max),
            ],
        };
        catalog.set_rollup(&name(level), state);
        finer = name(level);
    }
    catalog
}

fn level(catalog: &Catalog, sql: &str) -> Level {
    let analysed =
        analyse_at(sql, catalog, &[], None).unwrap_or_else(|error| panic!("{sql}: {error}"));
    let level = analysed.levels.values().next().copied().unwrap();
    let table = format!("pool_swaps_{level}");
    assert!(analysed.sql.contains(&table), "{sql}: {}", analysed.sql);
    assert_eq!(analysed.tables.iter().next().unwrap().as_str(), table);
    level
}

#[tokio::test]
async fn the_coarsest_level_that_gives_the_same_is_taken() {
    let catalog = catalog(None).await;
    for (expected, sql) in [
        (
            Level::Day,
            "select date_trunc('day', time) as day, pool, sum(volume) from pool_swaps group by 1, 2",
        ),
        (
            Level::Hour,
            "select date_trunc('hour', s.time) as hour, max(s.high) from pool_swaps s \
             where s.time >= '2024-03-01' and s.time < timestamp '2024-03-02 05:00:00' \
             and s.pool = 'P' group by hour order by hour limit 5",
        ),
        (Level::Year, "select sum(swaps) from pool_swaps"),
        (
            Level::Year,
            "select distinct pool from pool_swaps order by pool",
        ),
        (
            Level::Month,
            "select pool, first(open order by time) from pool_swaps where time >= '2024-03-01' \
             group by all having sum(volume) > 5",
        ),
        (
            Level::Minute,
            "select sum(volume) from pool_swaps where time < '2024-03-01 05:07:00'",
        ),
        (
            Level::Month,
            "select sum(v) from (select date_trunc('month', time) m, sum(volume) v from pool_swaps \
             group by m) as by_month",
        ),
        (
            Level::Day,
            "with d as (select date_trunc('day', time) t, sum(swaps) n from pool_swaps group by t) \
             select max(n) from d",
        ),
    ] {
        assert_eq!(level(&catalog, sql), expected, "{sql}");
    }
}

#[tokio::test]
async fn whatever_is_not_understood_is_answered_from_the_finest() {
    let catalog = catalog(None).await;
    for sql in [
        "select * from pool_swaps",
        "select time, volume from pool_swaps",
        "select count(*) from pool_swaps",
        "select avg(volume) from pool_swaps",
        "select min(volume) from pool_swaps",
        "select max(time) from pool_swaps",
        "select pool from pool_swaps",
        "select sum(volume) from pool_swaps where time <= '2024-01-01'",
        "select sum(volume) from pool_swaps where '2024-01-01' < time",
        "select sum(volume) from pool_swaps where time between '2024-01-01' and '2024-02-01'",
        "select sum(volume) from pool_swaps where volume > 5",
        "select date_trunc('week', time) w, sum(volume) from pool_swaps group by w",
        "select extract(hour from time) h, sum(volume) from pool_swaps group by 1",
        "select pool, sum(volume) from pool_swaps group by pool order by max(time)",
        "select sum(volume) filter (where high > 3) from pool_swaps",
        "select date_trunc('day', time) as time, sum(volume) from pool_swaps group by time",
        "select sum(a.volume) from pool_swaps a join pool_swaps b on a.pool = b.pool",
        "select sum(volume) over (order by pool) from pool_swaps group by all",
        "select distinct on (pool) pool from pool_swaps",
    ] {
        match analyse_at(sql, &catalog, &[], None) {
            Ok(analysed) => {
                let levels: Vec<_> = analysed.levels.values().copied().collect();
                assert_eq!(levels, [Level::Minute], "{sql}");
            }
            // What is not allowed of any table is not of this one.
            Err(refused) => assert_ne!(refused.kind(), "unknown-table", "{sql}: {refused}"),
        }
    }
}

#[tokio::test]
async fn a_level_that_is_behind_is_not_taken() {
    let sql = "select sum(swaps) from pool_swaps";
    for (behind, expected) in [
        (Level::Year, Level::Month),
        (Level::Day, Level::Hour),
        (Level::Minute, Level::Year),
    ] {
        assert_eq!(level(&catalog(Some(behind)).await, sql), expected);
    }
}

#[tokio::test]
async fn a_level_can_be_forced() {
    let catalog = catalog(None).await;
    let sql = "select time, volume from pool_swaps";
    let forced = |sql: &str, level| analyse_at(sql, &catalog, &[], Some(level));
    let analysed = forced(sql, Level::Month).unwrap();
    assert_eq!(
        analysed.sql,
        "SELECT time, volume FROM pool_swaps_month AS pool_swaps"
    );
    let refused = forced("select 1", Level::Month).unwrap_err();
    assert_eq!(refused.kind(), "unknown-level");
}

#[tokio::test]
async fn parameters_bound_the_level() {
    let catalog = catalog(None).await;
    let sql = "select sum(volume) from pool_swaps where time >= $1";
    for (micros, expected) in [
        (1_704_067_200_000_000, Level::Year),
        (1_704_067_260_000_000, Level::Minute),
    ] {
        let parameters = [Parameter::Timestamp(micros)];
        let analysed = analyse_at(sql, &catalog, &parameters, None).unwrap();
        assert!(analysed.levels.values().eq([&expected]));
    }
    // A name of WITH is that name's own.
    let sql = "with pool_swaps as (select 1 as x) select x from pool_swaps";
    assert!(
        analyse_at(sql, &catalog, &[], None)
            .unwrap()
            .levels
            .is_empty()
    );
}
