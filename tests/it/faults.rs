//! Processes that die, clients that leave, and orderly ends.

use crate::{
    cluster::{Cluster, PATIENCE},
    network::Network,
};
use serde_json::{Value, json};
use std::process::Command;
use streamsync_testing::eventually;

/// Takes a few seconds on any machine, and its answer is known.
const SLOW: &str =
    "select count(*) from range(18000) as a, range(18000) as b where (a.range * b.range) % 7 = 3";

/// Takes hours.
const ENDLESS: &str = "select count(*) from range(10000000) as a, range(10000000) as b where (a.range * b.range) % 7 = 3";

fn slow_answer() -> i64 {
    let count =
        |limit: i64, rest: i64| (0..limit).filter(|number| number % 7 == rest).count() as i64;
    let pairs = (0..7).flat_map(|a| (0..7).map(move |b| (a, b)));
    pairs
        .filter(|(a, b)| a * b % 7 == 3)
        .map(|(a, b)| count(18_000, a) * count(18_000, b))
        .sum()
}

/// A process that this process started: of a cluster, a worker.
fn child_of(process: u32) -> String {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).unwrap();
    let children = threads.map(|thread| {
        std::fs::read_to_string(thread.unwrap().path().join("children")).unwrap_or_default()
    });
    let children = children.collect::<Vec<_>>().join(" ");
    children
        .split_whitespace()
        .next()
        .expect("it has started workers")
        .to_owned()
}

pub async fn killed_racer() {
    let cluster = Cluster::synthetic(5).await;
    let ask = json!({ "sql": SLOW, "deadline_ms": 60_000 });
    let slow = cluster.post(&ask, "text/csv");
    let kill = async {
        // All five of them race.
        eventually(PATIENCE, async || {
            cluster
                .workers()
                .await
                .iter()
                .filter(|worker| worker["running"] == 1)
                .count()
                >= 3
        })
        .await;
        let process = child_of(cluster.process.id().unwrap());
        assert!(
            Command::new("kill")
                .args(["-9", &process])
                .status()
                .unwrap()
                .success()
        );
    };
    let (answer, ()) = futures::join!(slow, kill);
    assert_eq!(answer.status(), 200);
    let answer = answer.text().await.unwrap();
    assert_eq!(
        answer.lines().last(),
        Some(slow_answer().to_string().as_str())
    );
    eventually(PATIENCE, async || {
        let workers = cluster.workers().await;
        workers
            .iter()
            .filter(|worker| worker["health"] == "failed")
            .count()
            == 1
    })
    .await;
    assert_eq!(cluster.number("select 41 + 1").await, 42);
}

pub async fn hang_up() {
    let cluster = Cluster::synthetic(3).await;
    let running = async || {
        let workers = cluster.workers().await;
        workers
            .iter()
            .map(|worker| worker["running"].as_u64().unwrap())
            .sum::<u64>()
    };
    let ask = json!({ "sql": ENDLESS, "deadline_ms": 60_000 });
    let endless = cluster.post(&ask, "application/json");
    tokio::select! {
        response = endless => panic!("it ended: {:?}", response.text().await),
        () = eventually(PATIENCE, async || running().await == 3) => {}
    }
    eventually(PATIENCE, async || running().await == 0).await;
    assert_eq!(cluster.number("select 41 + 1").await, 42);
}

pub async fn clean_stop() {
    let mut cluster = Cluster::synthetic(3).await;
    let endpoints: Vec<String> = cluster
        .workers()
        .await
        .iter()
        .map(|worker| worker["endpoint"].as_str().unwrap().to_owned())
        .collect();
    let process = cluster.process.id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .args(["-TERM", &process])
            .status()
            .unwrap()
            .success()
    );
    let status = tokio::time::timeout(PATIENCE, cluster.process.wait()).await;
    assert!(status.expect("it stops in time").unwrap().success());
    for endpoint in endpoints {
        assert!(
            cluster.client.get(&endpoint).send().await.is_err(),
            "{endpoint} still answers"
        );
    }
}

/// A router with one place that is taken: others are told to come back, and when it is free again
/// they are answered.
pub async fn overload() {
    let mut network = Network::synthetic().await;
    (0..3).for_each(|_| network.start_worker(&[]));
    let config = network.folder().join("router.toml");
    std::fs::write(&config, "[router]\nmax_in_flight = 1\n").unwrap();
    network
        .start_router(&["--config", config.to_str().unwrap()])
        .await;
    network.await_healthy(0, 3).await;
    let busy = async || {
        let response = network.ask(0, json!({ "sql": "select 1" })).await.unwrap();
        let again = response.headers().contains_key("retry-after");
        let status = response.status();
        let problem: Value = response.json().await.unwrap();
        match status.as_u16() {
            200 => false,
            503 => {
                assert!(again && problem["type"] == "/problems/busy", "{problem}");
                true
            }
            _ => panic!("{status} {problem}"),
        }
    };
    let endless = network.ask(0, json!({ "sql": ENDLESS, "deadline_ms": 60_000 }));
    let full = async {
        // Asked any earlier, the others could take the place first.
        eventually(PATIENCE, async || network.running(0).await == 3).await;
        assert!(busy().await);
    };
    tokio::select! {
        response = endless => panic!("it ended: {response:?}"),
        () = full => {}
    }
    // The client of the endless query has hung up.
    eventually(PATIENCE, async || !busy().await).await;
}
