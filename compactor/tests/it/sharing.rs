//! Several compactors and ingesters on one lake.

use crate::fixture::{all_rows, append, config, expected, memory, name, small_files};
use rand::{Rng, SeedableRng, rngs::StdRng};
use std::{sync::Arc, time::Duration};
use streamsync_compactor::{Claims, Compactor, Observer, Silent};
use streamsync_core::{
    clock::SystemClock,
    config::{CompactorConfig, RedisConfig},
};
use streamsync_lake::Lake;
use streamsync_registry::Registry;
use streamsync_testing::{Redis, Suite};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub fn add_to(suite: &mut Suite) {
    suite.test(
        "compactors and an ingester, broken off at random, lose and double nothing",
        at_random,
    );
    suite.test("who has claimed a partition has it alone", claimed);
    suite.test("what a dead compactor had claimed comes free", freed);
}

/// Merges as soon as there are two files.
fn eager() -> CompactorConfig {
    CompactorConfig {
        fan_in: 2,
        every_s: 0,
        ..config()
    }
}

fn alone(lake: &Lake) -> Compactor {
    let clock = Arc::new(SystemClock);
    Compactor::open(
        lake.clone(),
        Claims::Alone,
        eager(),
        clock,
        Arc::new(Silent),
    )
    .unwrap()
}

async fn at_random() {
    const APPENDS: u64 = 150;
    let lake = memory("random");
    let table = small_files(&lake, 0).await;
    let mut random = StdRng::seed_from_u64(6);
    let done = CancellationToken::new();
    // Nobody asks Redis, so they are in each other's way as much as can be.
    let compactors: Vec<_> = (0..2)
        .map(|_| {
            let (lake, done, seed) = (lake.clone(), done.clone(), random.random());
            tokio::spawn(async move {
                let mut random = StdRng::seed_from_u64(seed);
                let mut lives = 0;
                while !done.is_cancelled() {
                    let lake = lake.clone();
                    let life = tokio::spawn(async move {
                        alone(&lake).run(&CancellationToken::new()).await;
                    });
                    let span = Duration::from_millis(random.random_range(5..150));
                    let _ = tokio::time::timeout(span, done.cancelled()).await;
                    life.abort();
                    let _ = life.await;
                    lives += 1;
                }
                lives
            })
        })
        .collect();
    let ingesting = tokio::spawn(async move {
        let mut random = StdRng::seed_from_u64(random.random());
        let mut table = table;
        let mut number = 0;
        while number < APPENDS {
            let (writing, at) = (table.clone(), number);
            let write = tokio::spawn(async move { append(&writing, at).await });
            let abort = write.abort_handle();
            if random.random_bool(0.2) {
                let span = Duration::from_millis(random.random_range(0..20));
                tokio::time::sleep(span).await;
                abort.abort();
            }
            // One that was broken off is done again: it may have been committed.
            if let Ok(after) = write.await {
                table = after;
                number += 1;
            }
        }
    });
    ingesting.await.unwrap();
    done.cancel();
    let mut lives = 0;
    for compactor in compactors {
        lives += compactor.await.unwrap();
    }
    assert!(lives > 4, "{lives}");
    let table = lake.table(&name("log_messages")).await.unwrap();
    assert_eq!(all_rows(&table).await, expected(APPENDS));
    let report = alone(&lake).once(&CancellationToken::new()).await.unwrap();
    assert!(report.failures.is_empty(), "{report:?}");
    let table = lake.table(&name("log_messages")).await.unwrap();
    assert_eq!(all_rows(&table).await, expected(APPENDS));
    assert!(table.files().await.unwrap().len() <= 6);
}

/// Holds a merge until it may go on.
#[derive(Default)]
struct Holding {
    began: Notify,
    go_on: std::sync::Mutex<Option<std::sync::mpsc::Receiver<()>>>,
}

impl Observer for Holding {
    fn began(&self, _job: &str, _bytes: u64) {
        self.began.notify_one();
        if let Some(go_on) = self.go_on.lock().unwrap().take() {
            let _ = go_on.recv();
        }
    }
}

async fn shared(
    redis: &Redis,
    lake: &Lake,
    holder: u128,
    time: Duration,
    observer: Arc<dyn Observer>,
) -> Compactor {
    let registry = Registry::connect(&RedisConfig {
        url: redis.url().parse().unwrap(),
        ..RedisConfig::default()
    })
    .await
    .unwrap();
    let claims = Claims::Shared {
        registry,
        holder: Uuid::from_u128(holder),
        time,
    };
    let clock = Arc::new(SystemClock);
    Compactor::open(lake.clone(), claims, eager(), clock, observer).unwrap()
}

fn own_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

async fn claimed() {
    let redis = Redis::start().await;
    let lake = memory("claimed");
    small_files(&lake, 4).await;
    let time = Duration::from_secs(60);
    let (sender, receiver) = std::sync::mpsc::channel();
    let holding = Arc::new(Holding::default());
    *holding.go_on.lock().unwrap() = Some(receiver);
    let first = shared(&redis, &lake, 1, time, holding.clone()).await;
    // The observer blocks a thread of its runtime.
    let runtime = own_runtime();
    let first = runtime.spawn(async move { first.once(&CancellationToken::new()).await });
    holding.began.notified().await;
    // The partition is the first one's, so there is nothing for a second.
    let second = shared(&redis, &lake, 2, time, Arc::new(Silent)).await;
    let report = second.once(&CancellationToken::new()).await.unwrap();
    assert_eq!(report.merges + report.superseded, 0, "{report}");
    sender.send(()).unwrap();
    let report = first.await.unwrap().unwrap();
    runtime.shutdown_background();
    assert_eq!(report.merges, 1, "{report}");
    let table = lake.table(&name("log_messages")).await.unwrap();
    assert_eq!(all_rows(&table).await, expected(4));
    // It is given back.
    append(&table, 4).await;
    append(&table, 5).await;
    let report = second.once(&CancellationToken::new()).await.unwrap();
    assert!(report.merges > 0, "{report}");
}

async fn freed() {
    let redis = Redis::start().await;
    let lake = memory("freed");
    small_files(&lake, 4).await;
    let (_sender, receiver) = std::sync::mpsc::channel();
    let holding = Arc::new(Holding::default());
    *holding.go_on.lock().unwrap() = Some(receiver);
    let time = Duration::from_millis(300);
    let dead = shared(&redis, &lake, 3, time, holding.clone()).await;
    // It goes without a farewell.
    let runtime = own_runtime();
    runtime.spawn(async move {
        let _ = dead.once(&CancellationToken::new()).await;
    });
    holding.began.notified().await;
    runtime.shutdown_background();
    let next = shared(&redis, &lake, 4, time, Arc::new(Silent)).await;
    streamsync_testing::eventually(Duration::from_secs(30), async || {
        next.once(&CancellationToken::new()).await.unwrap().merges == 1
    })
    .await;
    let table = lake.table(&name("log_messages")).await.unwrap();
    assert_eq!(all_rows(&table).await, expected(4));
}
