//! The registry against a real Redis.
#![allow(clippy::unwrap_used)]

mod access;
mod backup;
mod changes;
mod cluster;
mod credit;
mod evidence;
mod lease;
mod standing;
mod tls;

use redis::AsyncCommands;
use std::{process::ExitCode, time::Duration};
use streamsync_core::{Amount, Identity, OperatorGrant, Partition, config::RedisConfig};
use streamsync_registry::{Health, Heartbeat, Registry, RegistryError};
use streamsync_testing::{Redis, Suite, eventually};

fn main() -> ExitCode {
    let mut suite = Suite::new();
    suite.test(
        "a worker is registered by its heartbeat and gone when it deregisters",
        come_and_go,
    );
    suite.test(
        "a worker that stops beating turns suspect and failed and healthy again",
        health,
    );
    suite.test("an earlier heartbeat does not replace a later one", replay);
    suite.test("a forged registration is left out", forgery);
    suite.test(
        "networks with different prefixes do not see each other",
        prefixes,
    );
    suite.test(
        "without Redis the error says where it was looked for",
        no_redis,
    );
    suite.test("a registry outlives a broken connection", reconnect);
    suite.test("partitions that are asked for get hot, and cool down", heat);
    suite.test(
        "changes are told once, and all of them after Redis was replaced",
        changes::since,
    );
    suite.test("a worker that leaves is news", changes::news);
    suite.test(
        "a backup that is put back charges for each receipt once",
        backup::exact,
    );
    suite.test("Redis may speak TLS", tls::spoken);
    suite.test(
        "a backup that cannot be used changes nothing",
        backup::refused,
    );
    suite.test(
        "a backup follows others of the same Redis only",
        backup::follows,
    );
    suite.test(
        "an earlier version does not start over a later format",
        backup::formats,
    );
    suite.test(
        "an operator's grant is believed only with its signature",
        changes::grants,
    );
    suite.test(
        "records add up as the code that is simulated does it",
        standing::sums,
    );
    suite.test("a report that is told twice counts once", standing::replay);
    suite.test(
        "what Redis has lost is restored, and nothing else",
        standing::restore,
    );
    suite.test(
        "evidence excludes the accused, once for a query",
        evidence::convict,
    );
    suite.test(
        "evidence is archived in batches that stay the same",
        evidence::archive,
    );
    suite.test("an audit can be looked up", evidence::audit);
    suite.test(
        "one holder at a time has a lease, with a growing token",
        lease::exclusive,
    );
    suite.test(
        "a key is changed only as it was known, and on record",
        access::keys,
    );
    suite.test("a nonce is free once", access::nonces);
    suite.test("the usage of a key adds up over routers", access::usage);
    suite.test("prices are kept with their past", access::prices);
    suite.test("a deposit is added once", credit::deposits);
    suite.test("credit is lent, spent, and given back", credit::leases);
    suite.test(
        "an account adds up in thousands of interleavings",
        credit::interleavings,
    );
    suite.test("all of it works in a Redis Cluster", cluster::all);
    suite.run()
}

/// How long something may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn config(redis: &Redis) -> RedisConfig {
    RedisConfig {
        url: redis.url().parse().unwrap(),
        timeout_ms: PATIENCE.as_millis() as u64,
        ..RedisConfig::default()
    }
}

fn heartbeat(identity: &Identity, sent_at_ms: u64) -> Heartbeat {
    Heartbeat {
        worker: identity.id(),
        endpoint: "http://127.0.0.1:7000".parse().unwrap(),
        version: "0.1.0".to_owned(),
        protocols: Default::default(),
        running: 1,
        waiting: 2,
        cached_bytes: 3,
        concurrency: 1,
        memory_bytes: 0,
        disk_bytes: 0,
        profile: Default::default(),
        grant: None,
        ask: Amount(1),
        versions: Default::default(),
        holdings: Default::default(),
        interval_ms: 100,
        sent_at_ms,
    }
}

async fn come_and_go() {
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    assert!(registry.workers().await.unwrap().is_empty());

    let (one, two) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]));
    for identity in [&one, &two] {
        assert!(
            registry
                .beat(identity, &heartbeat(identity, 1))
                .await
                .unwrap()
        );
    }
    let workers = registry.workers().await.unwrap();
    let mut expected = [one.id(), two.id()];
    expected.sort();
    assert_eq!(
        workers
            .iter()
            .map(|known| known.heartbeat.worker)
            .collect::<Vec<_>>(),
        expected
    );

    registry.deregister(one.id()).await.unwrap();
    let workers = registry.workers().await.unwrap();
    assert_eq!(workers.len(), 1);
    assert_eq!(workers[0].heartbeat, heartbeat(&two, 1));
}

async fn health() {
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    let identity = Identity::from_seed([1; 32]);
    let health = async || registry.workers().await.unwrap()[0].health();
    let beat = async |sent_at_ms| {
        let heartbeat = Heartbeat {
            interval_ms: 10_000,
            ..heartbeat(&identity, sent_at_ms)
        };
        registry.beat(&identity, &heartbeat).await.unwrap();
    };
    beat(1).await;
    assert_eq!(health().await, Health::Healthy);
    // As if it had come earlier than it has.
    let mut raw = redis.connection().await.unwrap();
    let key = format!("{{streamsync}}:worker:{}", identity.id());
    let received: u64 = raw.hget(&key, "received_at_ms").await.unwrap();
    for (ago, state) in [(35_000, Health::Suspect), (55_000, Health::Failed)] {
        let () = raw
            .hset(&key, "received_at_ms", received - ago)
            .await
            .unwrap();
        assert_eq!(health().await, state);
    }
    beat(2).await;
    assert_eq!(health().await, Health::Healthy);
}

async fn replay() {
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    let identity = Identity::from_seed([1; 32]);
    assert!(
        registry
            .beat(&identity, &heartbeat(&identity, 5))
            .await
            .unwrap()
    );
    for sent_at in [4, 5] {
        assert!(
            !registry
                .beat(&identity, &heartbeat(&identity, sent_at))
                .await
                .unwrap()
        );
    }
    assert_eq!(registry.workers().await.unwrap()[0].heartbeat.sent_at_ms, 5);
}

async fn forgery() {
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    let (honest, forger) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]));
    // The forger writes itself under the honest worker's name, signed with its own key.
    registry
        .beat(&forger, &heartbeat(&honest, 9))
        .await
        .unwrap();
    assert!(registry.workers().await.unwrap().is_empty());
}

async fn prefixes() {
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    let other = RedisConfig {
        prefix: "other".to_owned(),
        ..config(&redis)
    };
    let other = Registry::connect(&other).await.unwrap();
    let identity = Identity::from_seed([1; 32]);
    registry
        .beat(&identity, &heartbeat(&identity, 1))
        .await
        .unwrap();
    assert!(other.workers().await.unwrap().is_empty());
    assert_eq!(registry.workers().await.unwrap().len(), 1);
}

async fn no_redis() {
    let url = "redis://user:hunter2@127.0.0.1:1".parse().unwrap();
    let config = RedisConfig {
        url,
        ..RedisConfig::default()
    };
    let error = Registry::connect(&config).await.err().unwrap();
    assert!(matches!(error, RegistryError::Connect { .. }));
    let message = error.to_string();
    assert!(
        message.contains("127.0.0.1:1") && !message.contains("hunter2"),
        "{message}"
    );
}

async fn reconnect() {
    let server = Redis::start().await;
    let registry = Registry::connect(&config(&server)).await.unwrap();
    registry.ping().await.unwrap();
    let mut admin = server.connection().await.unwrap();
    let _: () = redis::cmd("CLIENT")
        .arg("KILL")
        .arg("TYPE")
        .arg("normal")
        .query_async(&mut admin)
        .await
        .unwrap();
    eventually(PATIENCE, async || registry.ping().await.is_ok()).await;
}

async fn heat() {
    const HOUR: u64 = 3_600_000;
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    let partition = |bucket: u8| Partition {
        table: "signatures".parse().unwrap(),
        values: [("bucket".to_owned(), Some(bucket.to_string()))].into(),
    };
    let table = partition(0).table;
    let count = async |bucket, count, now| {
        let counts = [(partition(bucket), count)].into();
        registry.heat(&counts, now).await.unwrap();
    };
    let hottest = async |limit, now| registry.hottest(&table, limit, now).await.unwrap();
    let now = 500 * HOUR;
    count(1, 3, now).await;
    count(2, 2, now).await;
    count(2, 2, now + 1).await;
    assert_eq!(hottest(9, now).await, [partition(2), partition(1)]);
    assert_eq!(hottest(1, now).await, [partition(2)]);
    // An hour later what was asked counts half.
    count(1, 1, now + HOUR).await;
    assert_eq!(hottest(9, now + HOUR).await, [partition(1), partition(2)]);
    assert!(hottest(9, now + 4 * HOUR).await.is_empty());
    registry.heat(&Default::default(), now).await.unwrap();
}
