//! Queries that are answered while the server fails.

use super::{assert_injected, flags, folder, inject, injected, lines_of, proxied, table};
use crate::{
    chaos::{Known, Tally, ask, known, median_micros},
    cluster::{PATIENCE, run, text},
    network::Network,
};
use futures::{StreamExt, stream};
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use streamsync_core::config::BucketConfig;
use streamsync_testing::{Cut, Fault, Rule, eventually};
use tempfile::TempDir;

/// Workers that keep nothing, so that all of them ask the bucket each time.
const COLD: [&str; 4] = ["--disk", "0", "--memory", "67108864"];
/// The first are there from the beginning; then some come in under each fault.
const BLOCKS: [&str; 4] = ["7,20,200", "7,30,200", "7,40,200", "7,50,200"];
const QUERIES: usize = 60;
/// Which part of the requests fails.
const SHARE: f64 = 0.05;

async fn cold_network(bucket: &BucketConfig, endpoint: &str) -> Network {
    let flags = flags(bucket, endpoint).map(str::to_owned).to_vec();
    let mut network = Network::over(TempDir::new().unwrap(), flags).await;
    (0..5).for_each(|_| network.start_worker(&COLD));
    network.start_router(&[]).await;
    network.await_healthy(0, 5).await;
    network
}

/// How many blocks and transactions there are after each of the ingests.
async fn counted() -> Vec<[i64; 2]> {
    let temporary = TempDir::new().unwrap();
    let path = temporary.path().join("lake");
    let mut counts = Vec::new();
    for blocks in BLOCKS {
        let arguments = [
            "ingest",
            "--synthetic",
            blocks,
            "--bucket",
            path.to_str().unwrap(),
        ];
        assert!(run(&arguments).await.status.success());
        let mut count = [0; 2];
        for (count, name) in count.iter_mut().zip(["blocks", "transactions"]) {
            *count = lines_of(&table(&folder(&path), name).await).await.len() as i64;
        }
        counts.push(count);
    }
    counts
}

async fn ask_all(network: &Network, known: &[Known], count: usize, tally: &Tally) {
    let url = &network.routers[0].url;
    let asks =
        (0..count).map(|number| ask(&network.client, url, &known[number % known.len()], tally));
    let asks: Vec<_> = asks.collect();
    stream::iter(asks).for_each_concurrent(4, |ask| ask).await;
}

/// Counts rows again and again; each time there have to be as many as before or after some came in.
async fn count(network: &Network, before_and_after: [[i64; 2]; 2]) {
    for number in 0..QUERIES / 3 {
        let place = number % 2;
        let name = ["blocks", "transactions"][place];
        let sql = json!({ "sql": format!("select count(*) as n from {name}") });
        let response = network.ask(0, sql).await.unwrap();
        let status = response.status();
        let body: Value = response.json().await.unwrap();
        if status == 200 {
            let count = body["rows"][0]["n"].as_i64().unwrap();
            let right = before_and_after.iter().any(|counts| counts[place] == count);
            assert!(right, "{count} {name}, not one of {before_and_after:?}");
        } else {
            let kind = body["type"].as_str().unwrap();
            assert!(kind.starts_with("/problems/"), "{status} {body}");
        }
    }
}

/// Blocks come in while it is asked: whoever counts them gets the number before or after.
pub async fn races(bucket: BucketConfig, faults: Vec<Fault>) {
    let proxy = proxied(&bucket).await;
    let url = proxy.url();
    let network = cold_network(&bucket, &url).await;
    let known = known(&network).await;
    let known = &known[..known.len() - 2];
    let counts = counted().await;
    for (number, fault) in faults.iter().enumerate() {
        inject(&proxy, fault, SHARE, number as u64);
        let tally = Tally::default();
        let asking = ask_all(&network, known, QUERIES, &tally);
        let counting = count(&network, [counts[number], counts[number + 1]]);
        let ingesting = async {
            let mut arguments = vec!["ingest", "--synthetic", BLOCKS[number + 1]];
            arguments.extend(flags(&bucket, &url));
            let mut attempts = 0;
            loop {
                let ingested = run(&arguments).await;
                if ingested.status.success() {
                    break;
                }
                attempts += 1;
                assert!(attempts < 30, "{}", text(&ingested.stderr));
            }
        };
        futures::join!(asking, counting, ingesting);
        let answered = tally.answered.load(Ordering::Relaxed);
        assert_eq!(answered + tally.refused(), QUERIES, "no query is lost");
        assert!(answered > QUERIES / 2, "{}: {answered}", fault.name());
        // The router goes on looking at the lake.
        eventually(PATIENCE, async || injected(&proxy, fault) > 0).await;
        proxy.heal();
        let healed = Tally::default();
        median_micros(&network, known, &healed).await;
        assert_eq!(
            healed.answered.load(Ordering::Relaxed),
            200,
            "{}",
            fault.name()
        );
        for (place, name) in ["blocks", "transactions"].into_iter().enumerate() {
            let sql = format!("select count(*) as n from {name}");
            streamsync_testing::eventually(crate::cluster::PATIENCE, async || {
                network.rows(0, &sql).await == json!([{ "n": counts[number + 1][place] }])
            })
            .await;
        }
    }
    assert_injected(&proxy, &faults);
}

/// A bucket of which every fifth request fails, and some never end, or end in the middle.
pub async fn bucket(config: BucketConfig) {
    let proxy = proxied(&config).await;
    let network = cold_network(&config, &proxy.url()).await;
    let known = known(&network).await;
    let hour = std::time::Duration::from_secs(3_600);
    proxy.inject(Rule::new(Fault::Slow(hour)).every(50));
    proxy.inject(Rule::new(Fault::Reset(Cut::Percent(50))).every(10));
    proxy.inject(Rule::new(Fault::SlowDown).every(6));
    let tally = Tally::default();
    ask_all(&network, &known, 300, &tally).await;
    let answered = tally.answered.load(Ordering::Relaxed);
    let injected = proxy.injected_by_kind();
    assert_eq!(injected.len(), 3, "{injected:?}");
    assert_eq!(answered + tally.refused(), 300, "no query is lost");
    assert!(
        answered > 200,
        "{answered} of 300 answered, {:?}",
        tally.refused.lock().unwrap()
    );
    proxy.heal();
    let healed = Tally::default();
    median_micros(&network, &known, &healed).await;
    assert_eq!(healed.answered.load(Ordering::Relaxed), 200);
}
