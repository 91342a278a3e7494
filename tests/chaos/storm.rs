//! The storm, and what has to hold in it and after it.

use crate::{
    calm::{footprints, nobody_is_accused, quiet, revive, settled, stop},
    checker::check,
    client::{Client, SLACK},
    havoc::wreak,
    ingest::Ingest,
    load::Load,
    network::Network,
    process::{DRAIN, PATIENCE, left_over, panics},
    question::{Question, Subjects},
    receipts, rows,
    schedule::{self, seconds},
    tally::Tally,
};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use std::{sync::Arc, time::Duration};
use streamsync_core::{
    Snapshot,
    clock::{Clock, SystemClock},
};
use streamsync_testing::eventually;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// How long the storm lasts without `STREAMSYNC_CHAOS_SECONDS`.
const LENGTH_S: u64 = 10;
/// What its events are drawn from without `STREAMSYNC_CHAOS_SEED`.
const SEED: u64 = 11;
/// How often each question is asked of each router before memory is measured.
const WARM_UPS: usize = 3;
/// About how many runs of ingest there are, beside those that are there to be struck.
const RUNS: u32 = 30;

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok().filter(|value| !value.is_empty())?;
    let number = value.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}

/// Says how far the test is.
fn say(what: &str) {
    println!("{} {what}", seconds(SystemClock.monotonic()));
}

pub async fn storm() {
    let length = Duration::from_secs(variable("STREAMSYNC_CHAOS_SECONDS").unwrap_or(LENGTH_S));
    let seed = variable("STREAMSYNC_CHAOS_SEED").unwrap_or(SEED);
    println!(
        "STREAMSYNC_CHAOS_SEED={seed} STREAMSYNC_CHAOS_SECONDS={}",
        length.as_secs()
    );
    let network = Arc::new(Network::start(seed).await);
    let schedule = schedule::draw(seed, length, network.crew());
    let violations = network.violations.clone();
    let (lake, base) = (network.bucket.lake(), base(&network).await);
    let subjects = Subjects::of(&lake, &base).await;
    let (answers, received) = mpsc::unbounded_channel();
    let checking = check(lake, base, subjects.clone(), received, violations.clone());
    let checking = tokio::spawn(checking);
    let client = Client::new(Arc::clone(&network));
    let load = Load {
        client: client.clone(),
        routers: network.urls.len(),
        subjects,
        answers,
        tally: Tally::default(),
        violations: violations.clone(),
    };
    say("all processes run");
    quiet(&network, &client).await;
    for _ in 0..WARM_UPS {
        ask_all(&load, seed).await;
    }
    let warm = footprints(&network).await;

    say("the storm begins");
    let events = Tally::default();
    let (blows, struck) = mpsc::channel(1);
    let ingest = Ingest::new(Arc::clone(&network), seed, struck);
    let ingest = tokio::spawn(ingest.run(length / RUNS));
    let over = CancellationToken::new();
    let asking = tokio::spawn(load.clone().run(seed, over.clone()));
    wreak(
        Arc::clone(&network),
        schedule.clone(),
        blows,
        events.clone(),
    )
    .await;
    over.cancel();
    let asked = tokio::time::timeout(DRAIN + SLACK, asking).await;
    asked.expect("all clients end").unwrap();
    let ingested = tokio::time::timeout(PATIENCE, ingest).await;
    let runs = ingested
        .expect("ingest ends when nothing strikes it")
        .unwrap();

    say("the storm is over");
    revive(&network).await;
    quiet(&network, &client).await;
    ask_all(&load, seed).await;
    quiet(&network, &client).await;
    nobody_is_accused(&network, &client).await;
    settled(&network, &warm).await;
    revive(&network).await;
    stop(&network).await;
    say("all processes have stopped");
    let tally = load.tally.clone();
    drop(load);
    let checked = checking.await.unwrap();
    let registry = network.redis.lock().await.registry().await;
    let (clients, entries) = (network.accounts.clients(), network.ledger.entries());
    let found = receipts::check(&registry, clients, &entries, &violations).await;
    let rows = rows::check(&network, seed, runs, &violations).await;
    network.redis.lock().await.kill().await;
    for left in left_over(&network.mark).await {
        violations.note(format!("it was left running: {left}"));
    }
    for line in network.logs().iter().flat_map(|log| panics(log)) {
        violations.note(line);
    }

    say("all is checked");
    println!("clients: {tally}");
    println!("events: {events}");
    println!("{checked:?}");
    println!("{found:?}");
    println!("{rows} rows after {} runs of ingest", runs + 1);
    if let Some(report) = network.bucket.report() {
        println!("{report}");
    }
    let (told, count) = violations.told();
    if count > 0 {
        println!("what was scheduled:");
        schedule.iter().for_each(|event| println!("{event}"));
        panic!(
            "{count} violations with seed {seed}, the first are:\n{}",
            told.join("\n")
        );
    }
    // It was a storm, most got through it, and something was checked.
    let answered = tally.of("answered");
    assert!(events.total() * 2 >= length.as_secs(), "{events}");
    assert!(
        answered > tally.of("no-quorum") + tally.of("deadline"),
        "{tally}"
    );
    assert!(
        checked.answers as u64 == answered && checked.distinct > 30,
        "{checked:?}"
    );
    assert!(
        found.receipts >= found.answers && found.charged > 0,
        "{found:?}"
    );
    assert!(runs > 0 && rows > 5_000, "{rows} rows after {runs} runs");
}

/// The versions of the tables before the storm.
async fn base(network: &Network) -> Snapshot {
    let lake = network.bucket.lake();
    let mut base = Vec::new();
    for name in ["blocks", "signatures", "account_transactions"] {
        let name = name.parse().unwrap();
        let version = lake.table(&name).await.unwrap().version();
        base.push((name, version));
    }
    base.into_iter().collect()
}

/// Each question is answered by each router, as soon as that can.
async fn ask_all(load: &Load, seed: u64) {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    for question in Question::each(&mut random, &load.subjects) {
        for router in 0..load.routers {
            let again = &random;
            eventually(PATIENCE, async || {
                let mut random = again.clone();
                load.question(0, router, question.clone(), &mut random)
                    .await
            })
            .await;
        }
    }
}
