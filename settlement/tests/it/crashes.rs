//! Settlements that die, nodes that fail, several at once: each unit is paid once all the same.

use crate::network::{TestNetwork, connect};
use futures::future::BoxFuture;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{
    collections::BTreeSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use streamsync_settlement::{Outcome, SettleError, Step, Steps};
use streamsync_testing::Suite;
use tokio::sync::Notify;
use uuid::Uuid;

/// How many schedules each of [`SEEDS`] runs.
const SCHEDULES: u64 = 250;
const SEEDS: u64 = 4;

pub fn add_to(suite: &mut Suite) {
    suite.test("killed before every step, it pays each unit once", killed);
    suite.test(
        "a Redis that dies and has lost everything costs nobody anything",
        redis,
    );
    suite.test("two at once settle each range once", both);
    for seed in 0..SEEDS {
        let name = format!("random schedules of seed {seed} pay each unit once");
        suite.test(&name, move || schedules(seed));
    }
}

/// Dies before a step: it is never made, and neither is what follows.
struct Dying {
    left: AtomicUsize,
    died: Notify,
    seen: Mutex<Vec<Step>>,
}

impl Dying {
    fn after(steps: usize) -> Arc<Self> {
        Arc::new(Self {
            left: AtomicUsize::new(steps),
            died: Notify::new(),
            seen: Mutex::default(),
        })
    }
}

impl Steps for Dying {
    fn before(&self, step: Step) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.seen.lock().unwrap().push(step);
            if self.left.fetch_sub(1, Ordering::SeqCst) == 0 {
                self.died.notify_one();
                std::future::pending::<()>().await;
            }
        })
    }
}

/// Runs a settlement that dies after so many steps; `None` if it died.
async fn attempt(
    network: &TestNetwork,
    steps: &Arc<Dying>,
    trouble: u32,
    seed: u64,
) -> Option<Result<Outcome, SettleError>> {
    let node = network.node(trouble, seed);
    let settler = network
        .settler_of(network.config(), node, Some(steps.clone()))
        .await;
    let settler = match settler {
        Ok(settler) => settler,
        Err(error) => return Some(Err(error)),
    };
    tokio::select! {
        () = steps.died.notified() => None,
        outcome = settler.once() => Some(outcome),
    }
}

async fn killed() {
    let mut network = TestNetwork::start("killed").await;
    let mut died_before = BTreeSet::new();
    for steps in 0.. {
        network.earn(0, &[100_000 + steps as u64, 33]).await;
        network.earn(1, &[70_001]).await;
        let dying = Dying::after(steps);
        let done = attempt(&network, &dying, 0, 0).await;
        if let Some(done) = &done {
            assert!(matches!(done, Ok(Outcome::Settled { .. })), "{done:?}");
            break;
        }
        died_before.extend(dying.seen.lock().unwrap().last().copied());
        // As when it has run out.
        network.delete("lease:settlement").await;
        assert!(network.settle_all().await <= 2);
        network.check().await;
    }
    assert!(died_before.len() >= 15, "{died_before:?}");
    network.settle_all().await;
    network.check().await;
}

async fn redis() {
    let mut network = TestNetwork::start("redis").await;
    for step in [
        Step::AskChain,
        Step::Collect,
        Step::Write,
        Step::Send,
        Step::ArchiveReceipts,
        Step::Trim,
        Step::Release,
    ] {
        network.earn(0, &[100_000, 33]).await;
        let stopping = Arc::new(Stopping {
            at: step,
            reached: Notify::new(),
            go_on: Notify::new(),
        });
        let settler = network
            .settler_of(network.config(), network.node(0, 0), Some(stopping.clone()))
            .await
            .unwrap();
        let working = tokio::spawn(async move { settler.once().await });
        stopping.reached.notified().await;
        network.redis.kill().await;
        stopping.go_on.notify_one();
        // It may fail for want of Redis, but it ends.
        let _ = working.await.unwrap();
        network.redis.restart().await;
        network.registry = connect(&network.redis).await;
        network.tell_again().await;
        network.settle_all().await;
        network.check().await;
    }
}

/// Waits at a step until it is told to go on.
struct Stopping {
    at: Step,
    reached: Notify,
    go_on: Notify,
}

impl Steps for Stopping {
    fn before(&self, step: Step) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if step == self.at {
                self.reached.notify_one();
                self.go_on.notified().await;
            }
        })
    }
}

async fn both() {
    let mut network = TestNetwork::start("both").await;
    for round in 0..10_u64 {
        network.earn(0, &[100_000 + round, 33]).await;
        network.earn(1, &[70_001; 3]).await;
        // All with the same lease, as when it has run out while its holder was asleep.
        let mut settlers = Vec::new();
        for seed in 0..3 {
            let settler = network
                .settler_as(Uuid::nil(), network.config(), network.node(0, seed), None)
                .await;
            settlers.push(settler.unwrap());
        }
        let working = settlers.iter().map(|settler| settler.once());
        for outcome in futures::future::join_all(working).await {
            outcome.unwrap();
        }
        network.settle_all().await;
        network.check().await;
    }
}

async fn schedules(seed: u64) {
    let mut network = TestNetwork::start(&format!("schedules-{seed}")).await;
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    for schedule in 0..SCHEDULES {
        for router in 0..2 {
            let count = chance.random_range(0..4);
            let charges: Vec<u64> = (0..count)
                .map(|_| chance.random_range(0..500_000))
                .collect();
            network.earn(router, &charges).await;
        }
        for _ in 0..chance.random_range(1..4) {
            let steps = Dying::after(chance.random_range(0..40));
            let trouble = [0, 10, 40][chance.random_range(0..3)];
            let node_seed = chance.random();
            // What comes of it is seen below, whatever it was.
            let _ = attempt(&network, &steps, trouble, node_seed).await;
            network.delete("lease:settlement").await;
        }
        if schedule % 25 == 24 {
            network.settle_all().await;
            network.check().await;
        }
    }
}
