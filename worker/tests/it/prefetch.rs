//! What workers pull before they are asked, by their profile.

use crate::{Fixture, append, fixture, open_worker_with};
use std::{sync::Arc, time::Duration};
use streamsync_core::{
    Partition,
    clock::{Clock, SystemClock},
    config::{Profile, RedisConfig, WorkerConfig},
};
use streamsync_registry::Registry;
use streamsync_testing::{Redis, Suite, eventually};
use streamsync_worker::{PREFETCH_EVERY, prefetch_until};
use tokio_util::sync::CancellationToken;

pub fn add_to(suite: &mut Suite) {
    suite.test("speed pulls what it owns and decodes it", speed);
    suite.test("word of a new version wakes it before its turn", woken);
    suite.test("cache pulls what is asked for", cache);
    suite.test("archive pulls nothing", archive);
}

/// A worker of this profile in the registry of a Redis, and its prefetching.
async fn start(fixture: &mut Fixture, profile: Profile, redis: &Redis) -> Registry {
    let config = WorkerConfig {
        profile,
        // It beats once, and only who lives pulls anything.
        heartbeat_ms: 60_000,
        ..WorkerConfig::default()
    };
    fixture.worker = open_worker_with(&fixture.lake, 1, config).await;
    let config = RedisConfig {
        url: redis.url().parse().unwrap(),
        ..RedisConfig::default()
    };
    let registry = Registry::connect(&config).await.unwrap();
    let heartbeat = fixture
        .worker
        .heartbeat(&"http://127.0.0.1:1".parse().unwrap());
    let beat = registry.beat(fixture.worker.identity(), &heartbeat).await;
    assert!(beat.unwrap());
    registry
}

async fn prefetch(
    fixture: &Fixture,
    profile: Profile,
    registry: Registry,
    every: Duration,
) -> CancellationToken {
    let stop = CancellationToken::new();
    let (worker, clock) = (fixture.worker.clone(), Arc::new(SystemClock));
    let prefetching = prefetch_until(stop.clone(), worker, profile, registry, clock, every);
    tokio::spawn(prefetching);
    stop
}

async fn speed() {
    let (mut fixture, redis) = (fixture("prefetch_speed").await, Redis::start().await);
    let registry = start(&mut fixture, Profile::Speed, &redis).await;
    let stop = prefetch(&fixture, Profile::Speed, registry, PREFETCH_EVERY).await;
    let all = fixture.table.files().await.unwrap().len();
    eventually(Duration::from_secs(30), async || {
        let cache = fixture.worker.cache().await;
        cache.disk.files.len() == all && cache.memory.pages == all as u64
    })
    .await;
    stop.cancel();
}

async fn woken() {
    let (mut fixture, redis) = (fixture("prefetch_woken").await, Redis::start().await);
    let registry = start(&mut fixture, Profile::Speed, &redis).await;
    // Its next turn is longer away than the test may take.
    let hour = Duration::from_secs(3_600);
    let stop = prefetch(&fixture, Profile::Speed, registry.clone(), hour).await;
    let patience = Duration::from_secs(30);
    let pulled = async || fixture.worker.cache().await.disk.files.len();
    let before = fixture.table.files().await.unwrap().len();
    eventually(patience, async || pulled().await == before).await;
    let after = append(&fixture.table, &[("carol", 4), ("dave", 5)]).await;
    let after = after.files().await.unwrap().len();
    assert!(after > before);
    eventually(patience, async || {
        // Told again, as it may not have listened yet.
        registry.tell_of_lake().await.unwrap();
        pulled().await == after
    })
    .await;
    stop.cancel();
}

async fn cache() {
    let (mut fixture, redis) = (fixture("prefetch_cache").await, Redis::start().await);
    let registry = start(&mut fixture, Profile::Cache, &redis).await;
    let file = fixture.table.files().await.unwrap()[0].clone();
    let hot = Partition {
        table: fixture.table.name().clone(),
        values: file.partition.clone(),
    };
    let now = SystemClock.unix_millis();
    registry.heat(&[(hot, 1)].into(), now).await.unwrap();
    let stop = prefetch(&fixture, Profile::Cache, registry, PREFETCH_EVERY).await;
    eventually(Duration::from_secs(30), async || {
        !fixture.worker.cache().await.disk.files.is_empty()
    })
    .await;
    let cache = fixture.worker.cache().await;
    assert_eq!(cache.disk.files.len(), 1);
    assert!(cache.disk.files[0].file.ends_with(&file.path));
    assert_eq!(cache.memory.pages, 0);
    stop.cancel();
}

async fn archive() {
    let (mut fixture, redis) = (fixture("prefetch_archive").await, Redis::start().await);
    let registry = start(&mut fixture, Profile::Archive, &redis).await;
    let (worker, clock) = (fixture.worker.clone(), Arc::new(SystemClock));
    // It does not even wait to be stopped.
    let stop = CancellationToken::new();
    let profile = Profile::Archive;
    prefetch_until(stop, worker, profile, registry, clock, PREFETCH_EVERY).await;
    assert!(fixture.worker.cache().await.disk.files.is_empty());
}
