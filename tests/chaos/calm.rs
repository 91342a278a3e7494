//! Whether the network is well, and what it takes of the machine then.

use crate::{
    client::Client,
    footprint::Footprint,
    network::{Network, WORKER_MEMORY},
    process::{PATIENCE, Process},
};
use serde_json::Value;
use std::{collections::BTreeMap, time::Duration};
use streamsync_testing::eventually;
use tokio::sync::Mutex;

/// A worker stops scans from 110% of its memory and 192 MiB on; answers on their way and threads take a
/// little more. How much of that it took depends on the scans that it happened to run, so this, and not
/// what it had when it was warm, is its bound.
const WORKER_BOUND: u64 = WORKER_MEMORY + WORKER_MEMORY / 10 + (192 << 20) + (64 << 20);
/// What others may have more than when they were warm: as much again, and this. Receipts of the last
/// minute and histories are kept, and the allocator does not give everything back.
const ALLOWANCE: u64 = 96 << 20;
/// How many more files and sockets a process may have open than when it was warm: connections to others
/// differ by some. A leak of one for each query or each event would be hundreds.
const DESCRIPTORS: usize = 64;

/// For how long connections that nobody uses stay open, at most, and some more: those to the bucket up to 60 s.
const SETTLING: Duration = Duration::from_secs(80);
/// How often it is looked whether they are closed.
const AGAIN: Duration = Duration::from_millis(500);

/// What routers say of their work, and has to be nothing when there is none.
const GAUGES: [&str; 3] = [
    "streamsync_router_queries{state=\"racing\"}",
    "streamsync_router_queries{state=\"waiting\"}",
    "streamsync_router_receipts_waiting",
];

/// The footprints of all processes, by their names.
pub type Footprints = BTreeMap<String, Footprint>;

/// Notes processes that have ended by themselves, and starts them again, so that the rest can be checked.
pub async fn revive(network: &Network) {
    for process in processes(network) {
        let mut process = process.lock().await;
        if let Some(status) = process.ended() {
            let what = format!("{} ended by itself with {status}", process.recipe.name);
            network.violations.note(what);
            process.restart().await;
        }
    }
}

/// Waits until nothing is under way any more, every receipt is told, and every worker is healthy.
pub async fn quiet(network: &Network, client: &Client) {
    eventually(PATIENCE, async || idle(network).await).await;
    eventually(PATIENCE, async || healthy(network, client).await).await;
}

async fn idle(network: &Network) -> bool {
    for url in &network.metrics {
        let asked = reqwest::Client::builder().no_proxy().build().unwrap();
        let asked = asked.get(url).timeout(Duration::from_secs(5)).send().await;
        let Ok(answer) = asked else {
            return false;
        };
        let text = answer.text().await.unwrap_or_default();
        let value = |gauge: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(gauge));
            line.and_then(|value| value.trim().parse::<f64>().ok())
        };
        // A router that has had no query since it was started does not have all of them yet.
        if GAUGES
            .iter()
            .any(|gauge| value(gauge).unwrap_or(0.0) != 0.0)
        {
            return false;
        }
    }
    true
}

/// Whether each router sees all workers live, and no query with any of them.
async fn healthy(network: &Network, client: &Client) -> bool {
    for router in 0..network.urls.len() {
        let Some(listed) = client.get(router, "/v1/workers").await else {
            return false;
        };
        let Some(workers) = listed["workers"].as_array() else {
            return false;
        };
        let well = |worker: &&Value| worker["health"] == "healthy" && worker["running"] == 0;
        if workers.iter().filter(well).count() != network.workers.len() {
            return false;
        }
    }
    true
}

/// Notes workers that are thought to have lied: all are honest, and to be killed is no lie.
pub async fn nobody_is_accused(network: &Network, client: &Client) {
    for router in 0..network.urls.len() {
        let listed = client.get(router, "/v1/workers").await.unwrap();
        for worker in listed["workers"].as_array().unwrap() {
            if worker["convictions"] != 0 || !worker["excluded_until_ms"].is_null() {
                let what = format!("router-{router} accuses an honest worker: {worker}");
                network.violations.note(what);
            }
        }
    }
}

fn processes(network: &Network) -> impl Iterator<Item = &Mutex<Process>> {
    let all = [&network.routers, &network.workers, &network.compactors];
    all.into_iter().flatten()
}

/// What each process takes.
pub async fn footprints(network: &Network) -> Footprints {
    let mut all = BTreeMap::new();
    for process in processes(network) {
        let process = process.lock().await;
        all.insert(process.recipe.name.clone(), process.footprint());
    }
    all
}

/// Waits until no process has grown, and notes those that have not got there. One that was started again
/// is compared with its role: with the most that any of them had when they were warm.
pub async fn settled(network: &Network, warm: &Footprints) {
    let now = tokio::time::timeout(SETTLING, async {
        loop {
            let now = footprints(network).await;
            if now.iter().all(|(name, one)| bound(warm, name).holds(*one)) {
                return now;
            }
            tokio::time::sleep(AGAIN).await;
        }
    });
    let now = match now.await {
        Ok(now) => now,
        Err(_) => footprints(network).await,
    };
    for (name, now) in now {
        println!("{name}: {} when warm, {now} after", warm[&name]);
        let bound = bound(warm, &name);
        if !bound.holds(now) {
            network.violations.note(format!(
                "{name} has {now} after the storm; it had {} when it was warm, and may have {bound}",
                warm[&name],
            ));
        }
    }
}

/// The most that a process may take after the storm.
fn bound(warm: &Footprints, name: &str) -> Footprint {
    let role = |name: &str| name.split('-').next().unwrap_or_default().to_owned();
    let same = warm.iter().filter(|(other, _)| role(other) == role(name));
    let warm = same.fold(Footprint::default(), |most, (_, one)| most.most(*one));
    Footprint {
        bytes: match role(name).as_str() {
            "worker" => WORKER_BOUND,
            _ => 2 * warm.bytes + ALLOWANCE,
        },
        descriptors: warm.descriptors + DESCRIPTORS,
    }
}

/// Has all processes stop, as an operator would: routers first, so that no worker is missed.
pub async fn stop(network: &Network) {
    for process in processes(network) {
        if let Err(what) = process.lock().await.drain().await {
            network.violations.note(what);
        }
    }
}
