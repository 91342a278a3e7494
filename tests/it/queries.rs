//! Questions and answers.

use crate::cluster::{Cluster, streamsync, text};
use arrow::ipc::reader::StreamReader;
use serde_json::{Value, json};
use std::{io::Cursor, path::PathBuf};
use streamsync_lake::tables;

const SLOTS: &str = "select slot, leader from blocks order by slot";

pub async fn formats() {
    let cluster = Cluster::synthetic(3).await;
    let ask = json!({ "sql": SLOTS });
    let json: Value = cluster
        .post(&ask, "application/json")
        .await
        .json()
        .await
        .unwrap();
    let rows = json["rows"].as_array().unwrap();
    assert!(!rows.is_empty());
    assert_eq!(json["columns"][0]["name"], "slot");

    let ndjson = cluster
        .post(&ask, "application/x-ndjson")
        .await
        .text()
        .await
        .unwrap();
    let lines: Vec<Value> = ndjson
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(&lines, rows);

    let csv = cluster.post(&ask, "text/csv").await.text().await.unwrap();
    let expected: Vec<String> = std::iter::once("slot,leader".to_owned())
        .chain(rows.iter().map(|row| {
            format!(
                "{},{}",
                row["slot"],
                row["leader"].as_str().unwrap_or_default()
            )
        }))
        .collect();
    assert_eq!(csv.lines().collect::<Vec<_>>(), expected);

    let response = cluster
        .post(&ask, "application/vnd.apache.arrow.stream")
        .await;
    let named = response.headers()["streamsync-rows"]
        .to_str()
        .unwrap()
        .to_owned();
    for header in [
        "query-id",
        "snapshot",
        "winner",
        "verifiers",
        "price",
        "latency-us",
        "digest",
    ] {
        assert!(
            !response.headers()[&format!("streamsync-{header}")].is_empty(),
            "{header}"
        );
    }
    let arrow = StreamReader::try_new(Cursor::new(response.bytes().await.unwrap()), None).unwrap();
    let count: usize = arrow.map(|batch| batch.unwrap().num_rows()).sum();
    assert_eq!((count, named), (rows.len(), rows.len().to_string()));

    let refused = cluster.post(&ask, "image/png").await;
    assert_eq!(refused.status(), 406);
}

pub async fn bad_input() {
    let cluster = Cluster::synthetic(3).await;
    let long = format!("select '{}'", "x".repeat(300 << 10));
    for (ask, status, kind) in [
        (
            json!({ "sql": "select * from nowhere" }),
            400,
            "unknown-table",
        ),
        (
            json!({ "sql": "select nothing from blocks" }),
            400,
            "invalid-query",
        ),
        (
            json!({ "sql": "select 1; select 2" }),
            400,
            "not-one-statement",
        ),
        (
            json!({ "sql": "copy blocks to 'x.csv'" }),
            400,
            "not-a-select",
        ),
        (json!({ "sql": "attach 'x.db'" }), 400, "not-a-select"),
        (json!({ "sql": "install httpfs" }), 400, "not-a-select"),
        (json!({ "sql": "set threads = 1" }), 400, "not-a-select"),
        (
            json!({ "sql": "select * from read_csv('/etc/passwd')" }),
            400,
            "function-not-allowed",
        ),
        (
            json!({ "sql": "select random()" }),
            400,
            "function-not-allowed",
        ),
        (json!({ "sql": "select 1 +" }), 400, "unparsable"),
        (json!({ "sql": long }), 400, "statement-too-long"),
        (
            json!({ "sql": "x".repeat(10 << 20) }),
            413,
            "request-too-large",
        ),
        (json!({ "sql": "select $1" }), 400, "parameter-count"),
        (
            json!({ "sql": "select $1", "params": [[1]] }),
            400,
            "malformed-request",
        ),
        (
            json!({ "sql": "select slot from blocks where slot = $1", "params": ["many"] }),
            422,
            "failed-on-data",
        ),
        (
            json!({ "sql": "select leader::bigint from blocks" }),
            422,
            "failed-on-data",
        ),
        (
            json!({ "sql": "select 1", "deadline_ms": 0 }),
            400,
            "deadline-out-of-bounds",
        ),
        (json!({ "sql": "select 1", "max_price": 1 }), 402, "price"),
        (
            json!({ "sql": "select 1", "colour": "red" }),
            400,
            "malformed-request",
        ),
        (json!("select 1"), 400, "malformed-request"),
    ] {
        let response = cluster.post(&ask, "application/json").await;
        let shown: String = ask.to_string().chars().take(80).collect();
        assert_eq!(
            response.headers()["content-type"],
            "application/problem+json",
            "{shown}"
        );
        let got = response.status();
        let problem: Value = response.json().await.unwrap();
        assert_eq!(got, status, "{shown}: {problem}");
        assert_eq!(
            problem["type"],
            format!("/problems/{kind}"),
            "{shown}: {problem}"
        );
        assert!(
            problem["query_id"].is_string() && problem["detail"].is_string(),
            "{problem}"
        );
        assert!(
            cluster.number("select count(*) from blocks").await > 0,
            "after {shown}"
        );
    }
}

pub async fn listings() {
    let cluster = Cluster::synthetic(3).await;
    let listed = cluster.get("/v1/tables").await;
    let public = tables::definitions().iter();
    let public = public.filter(|definition| tables::is_public(definition.name));
    assert_eq!(listed["tables"].as_array().unwrap().len(), public.count());
    let blocks = cluster.get("/v1/tables/blocks").await;
    let count = cluster.number("select count(*) from blocks").await;
    assert_eq!(blocks["rows"].as_i64(), Some(count));
    assert_eq!(blocks["columns"][1]["name"], "slot");
    let absent = cluster.get("/v1/tables/blokcs").await;
    assert!(
        absent["detail"]
            .as_str()
            .unwrap()
            .contains("did you mean `blocks`?")
    );
    assert_eq!(cluster.workers().await.len(), 3);
    for (path, expected) in [
        ("/healthz", "ok"),
        ("/readyz", "ready"),
        ("/metrics", "streamsync_router_queries_total"),
    ] {
        let response = cluster
            .client
            .get(format!("{}{path}", cluster.url))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        assert!(response.text().await.unwrap().contains(expected), "{path}");
    }
}

pub async fn command() {
    let cluster = Cluster::synthetic(3).await;
    let query = async |arguments: &[&str]| {
        let mut command = streamsync();
        command
            .arg("query")
            .args(arguments)
            .args(["--router", &cluster.url]);
        command.output().await.unwrap()
    };
    let answer = query(&[
        "select count(*) as blocks from blocks where slot > $1",
        "--param",
        "5",
    ])
    .await;
    let shown = text(&answer.stdout);
    assert!(answer.status.success(), "{}", text(&answer.stderr));
    assert!(shown.contains("| blocks |"), "{shown}");
    let race = shown.lines().last().unwrap();
    assert!(
        race.starts_with("1 rows, won by ") && race.contains("confirmed by"),
        "{race}"
    );

    let csv = query(&["select 1 as one", "--format", "csv"]).await;
    assert_eq!(text(&csv.stdout), "one\n1\n");

    let refused = query(&["select * from blokcs"]).await;
    assert!(!refused.status.success());
    assert!(text(&refused.stderr).contains("did you mean `blocks`?"));
}

pub async fn recorded_counts(fixtures: PathBuf) {
    let blocks = fixtures.join("blocks");
    let cluster = Cluster::over(&[blocks.join("base64"), blocks.join("protobuf")], 3).await;
    for (sql, count) in [
        (
            "select transaction_count from blocks where slot = 254170887",
            602,
        ),
        (
            "select count(*) from transactions where slot = 254170887 and not success",
            305,
        ),
        (
            "select count(*) from transactions where slot = 254170887 and version = '0'",
            263,
        ),
        (
            "select count(*) from transactions where slot = 254170887 and loaded_writable_count + loaded_readonly_count > 0",
            255,
        ),
        (
            "select count(*) from instructions where slot = 254170887 and instruction_address like '%.%'",
            1_985,
        ),
        (
            "select count(*) from log_messages where slot = 254170887",
            13_950,
        ),
        (
            "select count(*) from token_balances where slot = 254170887 and post_amount is not null",
            2_156,
        ),
        (
            "select parent_slot from blocks where slot = 64800004",
            64_799_999,
        ),
        ("select count(*) from rewards where slot = 64800004", 10_185),
        (
            "select count(*) from transactions where slot = 43200000",
            208,
        ),
        ("select vote_count from blocks where slot = 18144001", 89),
        ("select count(*) from blocks where date is null", 1),
    ] {
        assert_eq!(cluster.number(sql).await, count, "{sql}");
    }
    let before = cluster.number("select count(*) from instructions").await;
    let again = streamsync()
        .arg("ingest")
        .arg(blocks.join("base64"))
        .arg("--bucket")
        .arg(cluster.lake())
        .output()
        .await
        .unwrap();
    assert!(again.status.success());
    assert_eq!(
        cluster.number("select count(*) from instructions").await,
        before
    );
}
