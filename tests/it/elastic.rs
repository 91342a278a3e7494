//! Workers that come and go with what there is to do.

use crate::{
    cluster::{PATIENCE, streamsync},
    network::{Network, free_port},
};
use futures::future::join_all;
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    process::Stdio,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use streamsync_core::clock::{Clock, SystemClock};
use streamsync_testing::eventually;
use tokio::process::Child;

/// A query that takes a while, and its answer.
const SQL: &str = "select count(*) as n from transactions a, transactions b where a.slot = b.slot";

/// A metric of a process, summed over its labels; `None` where there is none.
pub async fn metric(network: &Network, url: &str, name: &str) -> Option<f64> {
    let text = network
        .client
        .get(url)
        .send()
        .await
        .ok()?
        .text()
        .await
        .ok()?;
    let lines = text.lines().filter(|line| line.starts_with(name));
    let values: Vec<f64> = lines
        .filter_map(|line| line.rsplit(' ').next()?.parse().ok())
        .collect();
    (!values.is_empty()).then(|| values.iter().sum())
}

/// Starts a router that lets queries wait so long for workers, and returns where its metrics are.
async fn router(network: &mut Network, await_workers_ms: u64) -> String {
    let metrics = format!("127.0.0.1:{}", free_port());
    let config = network.folder().join("router.toml");
    let settings = format!(
        "[router]\nawait_workers_ms = {await_workers_ms}\nmetrics_listen = \"{metrics}\"\n"
    );
    std::fs::write(&config, settings).unwrap();
    let config = config.display().to_string();
    network.start_router(&["--config", &config]).await;
    format!("http://{metrics}/metrics")
}

/// Without workers a query waits for them, and not beyond its deadline.
pub async fn awaited() {
    let mut network = Network::synthetic().await;
    let metrics = router(&mut network, 60_000).await;
    let body = json!({ "sql": "select 41 + 1 as n", "deadline_ms": 300 });
    let refused = network.ask(0, body).await.unwrap();
    assert_eq!(refused.status(), 503);
    let refused: Value = refused.json().await.unwrap();
    assert!(
        refused["detail"]
            .as_str()
            .unwrap()
            .contains("0 workers are alive"),
        "{refused}"
    );

    let asking = network.ask(
        0,
        json!({ "sql": "select 41 + 1 as n", "deadline_ms": 60_000 }),
    );
    let mut asking = Box::pin(asking);
    let unstaffed = "streamsync_router_queries{state=\"unstaffed\"}";
    let waits = eventually(PATIENCE, async || {
        metric(&network, &metrics, unstaffed).await == Some(1.0)
    });
    tokio::select! {
        () = waits => {}
        answer = &mut asking => panic!("nobody could have answered: {answer:?}"),
    }
    drop(asking);
    // Who hangs up waits no more.
    eventually(PATIENCE, async || {
        metric(&network, &metrics, unstaffed).await == Some(0.0)
    })
    .await;
    let url = format!("{}/v1/query", network.routers[0].url);
    let body = json!({ "sql": "select 41 + 1 as n", "deadline_ms": 60_000 });
    let asking = tokio::spawn(network.client.post(url).json(&body).send());
    (0..3).for_each(|_| network.start_worker(&[]));
    let answer = asking.await.unwrap().unwrap();
    assert_eq!(answer.status(), 200);
    let answer: Value = answer.json().await.unwrap();
    assert_eq!(answer["rows"], json!([{ "n": 42 }]));
}

fn autoscale(network: &Network, min: &str, routers: &str, metrics: &str) -> Child {
    let config = network.folder().join("autoscale.toml");
    // A busy machine has queries wait, however many workers there are.
    let settings = "[autoscale]\nevery_ms = 200\ndown_after_ms = 3000\nqueue_ms = 60000\n\
                    [worker]\nmemory_bytes = 134217728\n";
    std::fs::write(&config, settings).unwrap();
    let mut command = streamsync();
    command.args(["autoscale", "--min", min, "--max", "5", "--insecure-no-tls"]);
    command.args(["--queries-per-worker", "3", "--routers", routers]);
    command.args([
        "--metrics-listen",
        metrics,
        "--redis-url",
        &network.redis.url(),
    ]);
    command.arg("--config").arg(config);
    command.arg("--bucket").arg(network.folder().join("lake"));
    command
        .arg("--folder")
        .arg(network.folder().join("workers"));
    command.args(["--", "--disk", "0"]);
    command.stdout(Stdio::null()).spawn().unwrap()
}

/// From nobody to a load of one, of twenty, of one, and to nobody: workers come and go, and every query is
/// answered, and rightly.
pub async fn ramp() {
    let mut network = Network::synthetic().await;
    let routers = router(&mut network, 60_000).await;
    let address = format!("127.0.0.1:{}", free_port());
    let metrics = format!("http://{address}/metrics");
    let mut scaler = autoscale(&network, "0", &routers, &address);
    let running = async || {
        metric(
            &network,
            &metrics,
            "streamsync_autoscale_workers{state=\"running\"}",
        )
        .await
    };
    eventually(PATIENCE, async || running().await == Some(0.0)).await;

    let asleep = SystemClock.monotonic();
    let first = network
        .ask(0, json!({ "sql": SQL, "deadline_ms": 60_000 }))
        .await
        .unwrap();
    assert_eq!(first.status(), 200);
    let woken = SystemClock.monotonic() - asleep;
    let first: Value = first.json().await.unwrap();
    let right = first["rows"].clone();
    assert!(right[0]["n"].as_u64().unwrap() > 1_000, "{right}");

    let (answered, sent_away) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let winners = Mutex::new(BTreeSet::new());
    let over = AtomicBool::new(false);
    let client = async || {
        while !over.load(Ordering::Relaxed) {
            let answer = network
                .ask(0, json!({ "sql": SQL, "deadline_ms": 60_000 }))
                .await
                .unwrap();
            // A full network says when to come back; that is no answer yet.
            if answer.status() == 503 {
                sent_away.fetch_add(1, Ordering::Relaxed);
                let after = answer.headers()["retry-after"]
                    .to_str()
                    .unwrap()
                    .parse()
                    .unwrap();
                tokio::time::sleep(Duration::from_secs(after)).await;
                continue;
            }
            assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
            let winner = answer.headers()["streamsync-winner"]
                .to_str()
                .unwrap()
                .to_owned();
            let answer: Value = answer.json().await.unwrap();
            assert_eq!(answer["rows"], right);
            winners.lock().unwrap().insert(winner);
            answered.fetch_add(1, Ordering::Relaxed);
        }
    };
    let workers = async || -> BTreeSet<String> {
        let listed = network.get(0, "/v1/workers").await;
        let workers = listed["workers"].as_array().unwrap();
        let ids = workers
            .iter()
            .map(|worker| worker["worker"].as_str().unwrap());
        ids.map(str::to_owned).collect()
    };
    // So many clients ask, until it has come to so many workers, and one that was not there before has won.
    let stretch = async |clients: usize, until: fn(f64) -> bool, newcomer: bool| {
        over.store(false, Ordering::Relaxed);
        let before = workers().await;
        let began = SystemClock.monotonic();
        let watching = async {
            eventually(PATIENCE, async || running().await.is_some_and(until)).await;
            let started = SystemClock.monotonic() - began;
            eventually(PATIENCE, async || {
                !newcomer || !winners.lock().unwrap().is_subset(&before)
            })
            .await;
            over.store(true, Ordering::Relaxed);
            (started, SystemClock.monotonic() - began)
        };
        let (took, _) = tokio::join!(watching, join_all((0..clients).map(|_| client())));
        took
    };
    stretch(1, |running| running >= 3.0, false).await;
    let (up, won) = stretch(20, |running| running >= 5.0, true).await;
    let (down, _) = stretch(1, |running| running <= 3.0, false).await;
    let began = SystemClock.monotonic();
    eventually(PATIENCE, async || running().await == Some(0.0)).await;
    let none = SystemClock.monotonic() - began;
    println!(
        "woken in {woken:?}, 5 workers instead of 3 after {up:?}, a newcomer has won after {won:?}, 3 again \
         after {down:?}, none after {none:?}; {} answered, {} sent away and came back",
        answered.load(Ordering::Relaxed),
        sent_away.load(Ordering::Relaxed)
    );
    // Those that drain have left before somebody asks again.
    network.await_healthy(0, 0).await;
    // They stay while somebody asks.
    eventually(PATIENCE, async || {
        let again = network.ask(0, json!({ "sql": SQL })).await.unwrap();
        assert_eq!(again.status(), 200);
        network.healthy(0).await == 3
    })
    .await;

    // Its workers end with it, whether or not it is told to stop.
    scaler.kill().await.unwrap();
    network.await_healthy(0, 0).await;
}

/// Any process that was started by another.
fn child_of(parent: u32) -> String {
    let parent = format!("PPid:\t{parent}");
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let mut children = processes.filter(|process| {
        let status = std::fs::read_to_string(process.path().join("status")).unwrap_or_default();
        status.lines().any(|line| line == parent)
    });
    let child = children.next().expect("a child");
    child.file_name().into_string().unwrap()
}

/// One worker is no quorum: whoever asks brings the others, though nobody waits for them. And whoever is
/// killed is replaced.
pub async fn replaced() {
    let mut network = Network::synthetic().await;
    // Without workers such a router would not be ready.
    (0..3).for_each(|_| network.start_worker(&[]));
    let routers = router(&mut network, 0).await;
    for worker in &mut network.workers {
        worker.stop().await;
    }
    network.await_healthy(0, 0).await;
    let address = format!("127.0.0.1:{}", free_port());
    let mut scaler = autoscale(&network, "1", &routers, &address);
    network.await_healthy(0, 1).await;
    let answered = async || {
        let body = json!({ "sql": "select 41 + 1 as n" });
        network.ask(0, body).await.unwrap().status() == 200
    };
    assert!(!answered().await);
    eventually(PATIENCE, answered).await;

    let victim = child_of(scaler.id().unwrap());
    let mut kill = std::process::Command::new("kill");
    assert!(kill.args(["-KILL", &victim]).status().unwrap().success());
    let metrics = format!("http://{address}/metrics");
    eventually(PATIENCE, async || {
        let started = metric(&network, &metrics, "streamsync_autoscale_started_total").await;
        answered().await && started >= Some(4.0)
    })
    .await;
    scaler.kill().await.unwrap();
}

/// A worker that cannot do its work says so and ends, though whoever started it is still there.
pub async fn ends() {
    let network = Network::synthetic().await;
    let mut command = streamsync();
    command.args(["worker", "--stop-with-stdin", "--insecure-no-tls"]);
    command.args(["--redis-url", "redis://127.0.0.1:1"]);
    command.arg("--bucket").arg(network.folder().join("lake"));
    let mut worker = command.stdin(Stdio::piped()).spawn().unwrap();
    let input = worker.stdin.take();
    let ended = tokio::time::timeout(PATIENCE, worker.wait()).await;
    assert!(!ended.unwrap().unwrap().success());
    drop(input);
}
