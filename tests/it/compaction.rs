//! The compactor's own processes, beside those that write and read.

use crate::{
    cluster::{Cluster, PATIENCE, streamsync, text},
    network::free_port,
};
use arrow::compute::concat_batches;
use rand::{Rng, SeedableRng, rngs::StdRng};
use serde_json::json;
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};
use streamsync_core::config::BucketConfig;
use streamsync_lake::{Lake, tables};
use streamsync_testing::{Redis, eventually, row_lines};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// Made-up blocks, in several commits, by one after the other.
const BLOCKS: [&str; 4] = ["3,40,20", "3,80,20", "3,120,20", "3,160,20"];

fn ingest(lake: &Path, blocks: &str) -> Command {
    let mut command = streamsync();
    command
        .args(["ingest", "--synthetic", blocks, "--bucket"])
        .arg(lake);
    command
}

/// All rows of each table, as sorted text.
async fn rows(lake: &Path) -> BTreeMap<&'static str, Vec<String>> {
    let lake = Lake::open(&BucketConfig {
        url: lake.display().to_string(),
        ..BucketConfig::default()
    })
    .unwrap();
    let mut all = BTreeMap::new();
    for definition in tables::chain() {
        let table = lake.table(&definition.name.parse().unwrap()).await.unwrap();
        let mut batches = Vec::new();
        for file in table.files().await.unwrap().iter() {
            batches.extend(table.read(file).await.unwrap());
        }
        let mut lines = row_lines(&concat_batches(&table.schema(), &batches).unwrap());
        lines.sort();
        all.insert(definition.name, lines);
    }
    all
}

/// A compactor that merges as soon as there are two files.
fn compactor(lake: &Path, redis: &Redis, what: &str) -> Command {
    let mut command = streamsync();
    command
        .env("STREAMSYNC_COMPACTOR__FAN_IN", "2")
        .env("STREAMSYNC_COMPACTOR__EVERY_S", "1")
        .env("STREAMSYNC_COMPACTOR__LEASE_S", "1")
        .args(["compactor", what, "--redis-url", &redis.url(), "--bucket"])
        .arg(lake)
        .stdout(Stdio::null());
    command
}

pub async fn killed_compactors() {
    let folder = TempDir::new().unwrap();
    let whole = folder.path().join("whole");
    for blocks in BLOCKS {
        assert!(ingest(&whole, blocks).status().await.unwrap().success());
    }
    let expected = rows(&whole).await;
    assert!(expected["transactions"].len() > 1_000);

    let redis = Redis::start().await;
    let lake = folder.path().join("lake");
    assert!(ingest(&lake, BLOCKS[0]).status().await.unwrap().success());
    let start = || -> Child { compactor(&lake, &redis, "run").spawn().unwrap() };
    let mut compactors = [start(), start()];
    let mut random = StdRng::seed_from_u64(11);
    let mut kills = 0;
    for blocks in &BLOCKS[1..] {
        let mut ingesting = ingest(&lake, blocks).stdout(Stdio::null()).spawn().unwrap();
        loop {
            let span = Duration::from_millis(random.random_range(50..600));
            let ended = tokio::time::timeout(span, ingesting.wait()).await;
            let victim = random.random_range(0..compactors.len());
            compactors[victim].kill().await.unwrap();
            compactors[victim] = start();
            kills += 1;
            if let Ok(status) = ended {
                assert!(status.unwrap().success());
                break;
            }
        }
    }
    assert!(kills >= BLOCKS.len() - 1, "{kills}");
    for mut compactor in compactors {
        compactor.kill().await.unwrap();
    }
    // One that works says so in its metrics; told to stop, it does.
    let metrics = format!("127.0.0.1:{}", free_port());
    let mut last = compactor(&lake, &redis, "run")
        .env("STREAMSYNC_COMPACTOR__METRICS_LISTEN", &metrics)
        .spawn()
        .unwrap();
    eventually(PATIENCE, async || {
        let answer = reqwest::get(format!("http://{metrics}/metrics")).await;
        let Ok(answer) = answer else {
            return false;
        };
        let text = answer.text().await.unwrap();
        text.contains("streamsync_compactor_files{table=\"blocks\"}")
    })
    .await;
    let id = last.id().unwrap().to_string();
    let told = Command::new("kill").arg(&id).status().await.unwrap();
    assert!(told.success());
    let ended = tokio::time::timeout(PATIENCE, last.wait()).await;
    assert!(ended.unwrap().unwrap().success());
    assert_eq!(rows(&lake).await, expected);
    // The claims of those that were killed run out, and then there is nothing left to merge.
    let files = async || {
        let output = compactor(&lake, &redis, "once")
            .stdout(Stdio::piped())
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    eventually(PATIENCE, async || files().await.starts_with("0 merges")).await;
    assert_eq!(rows(&lake).await, expected);
    let status = streamsync()
        .args(["compactor", "status", "--bucket"])
        .arg(&lake)
        .output()
        .await
        .unwrap();
    assert!(text(&status.stdout).contains("account_transactions"));
    let plan = streamsync()
        .args([
            "compactor",
            "plan",
            "--files",
            "--promise",
            "61",
            "--bucket",
        ])
        .arg(&lake)
        .output()
        .await
        .unwrap();
    assert!(plan.status.success(), "{}", text(&plan.stderr));
    // A promise shorter than the longest query is none.
    let short = streamsync()
        .args([
            "compactor",
            "once",
            "--alone",
            "--promise",
            "30",
            "--bucket",
        ])
        .arg(&lake)
        .output()
        .await
        .unwrap();
    assert!(!short.status.success());
    assert!(text(&short.stderr).contains("compactor.promise_s is 30"));
}

pub async fn levels(fixtures: PathBuf) {
    let folder = TempDir::new().unwrap();
    let lake = folder.path().join("lake");
    let day = fixtures.join("whirlpool/whirlpool-transaction-20220406.jsonl.gz");
    let mut command = streamsync();
    command.args(["ingest", "--decoded"]).arg(day);
    let output = command.arg("--bucket").arg(&lake).output().await.unwrap();
    let said = text(&output.stdout);
    assert!(said.contains("9466 swaps of 141959 blocks"), "{said}");
    let mut command = streamsync();
    command.args(["compactor", "once", "--alone", "--bucket"]);
    let output = command.arg(&lake).output().await.unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));

    // Where it is another day already.
    let cluster = Cluster::start_in("Pacific/Auckland", folder, 3).await;
    assert_eq!(
        cluster
            .number("select sum(swaps)::BIGINT from pool_swaps")
            .await,
        9_466
    );
    for (sql, level) in [
        (
            "select sum(swaps) s, sum(volume_a) a from pool_swaps",
            "year",
        ),
        (
            "select date_trunc('hour', time) h, pool, max(high) x, min(low) n, \
             first(open order by time) o, last(close order by time) c from pool_swaps \
             group by h, pool order by h, pool limit 200",
            "hour",
        ),
        (
            "select pool, sum(volume_b) b from pool_swaps where time >= '2022-04-06' \
             and time < '2022-04-07' group by pool order by pool",
            "day",
        ),
        ("select count(*) n from pool_swaps", "minute"),
    ] {
        let ask = async |level: Option<&str>| {
            let body = json!({ "sql": sql, "level": level });
            let response = cluster.post(&body, "application/json").await;
            let said = response.headers().get("streamsync-level").cloned();
            let body: serde_json::Value = response.json().await.unwrap();
            (said, body)
        };
        let (said, chosen) = ask(None).await;
        assert_eq!(said.unwrap(), format!("pool_swaps={level}"), "{sql}");
        let (said, finest) = ask(Some("minute")).await;
        assert_eq!(said.unwrap(), "pool_swaps=minute");
        assert!(!chosen["rows"].as_array().unwrap().is_empty(), "{chosen}");
        assert_eq!(chosen["rows"], finest["rows"], "{sql}");
    }
    let refused = cluster
        .post(
            &json!({ "sql": "select 1", "level": "day" }),
            "application/json",
        )
        .await;
    assert_eq!(refused.status(), 400);
    let table = cluster.get("/v1/tables/pool_swaps_hour").await;
    assert_eq!(
        (&table["rollup"], &table["level"]),
        (&json!("pool_swaps"), &json!("hour"))
    );
}
