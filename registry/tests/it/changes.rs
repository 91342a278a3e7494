//! What changed since.

use super::{Identity, OperatorGrant, PATIENCE, Redis, Registry, config, eventually, heartbeat};
use futures::StreamExt;
use std::sync::Mutex;
use streamsync_registry::{Cursor, Heartbeat, News, TrustedGrants};

pub async fn since() {
    let mut redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    let mut trusted = TrustedGrants::default();
    let (one, two) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]));
    for identity in [&one, &two] {
        registry
            .beat(identity, &heartbeat(identity, 1))
            .await
            .unwrap();
    }
    let first = registry
        .changes(Cursor::default(), &mut trusted)
        .await
        .unwrap();
    assert_eq!((first.beats.len(), first.departed.len()), (2, 0));

    // The cursor takes a millisecond twice rather than not at all.
    let latest = Mutex::new(first.cursor);
    eventually(PATIENCE, async || {
        let cursor = *latest.lock().unwrap();
        let mut trusted = TrustedGrants::default();
        let changes = registry.changes(cursor, &mut trusted).await.unwrap();
        *latest.lock().unwrap() = changes.cursor;
        changes.beats.is_empty()
    })
    .await;
    let cursor = *latest.lock().unwrap();
    registry.beat(&two, &heartbeat(&two, 2)).await.unwrap();
    registry.deregister(one.id()).await.unwrap();
    let then = registry.changes(cursor, &mut trusted).await.unwrap();
    let beat: Vec<_> = then
        .beats
        .iter()
        .map(|beat| beat.heartbeat.worker)
        .collect();
    assert_eq!((beat, then.departed), (vec![two.id()], vec![one.id()]));

    // Who comes back has not left.
    registry.beat(&one, &heartbeat(&one, 3)).await.unwrap();
    let back = registry.changes(cursor, &mut trusted).await.unwrap();
    assert!(back.departed.is_empty());
    assert_eq!(back.beats.len(), 2);

    redis.kill().await;
    assert!(registry.changes(cursor, &mut trusted).await.is_err());
    redis.restart().await;
    eventually(PATIENCE, async || {
        registry.beat(&one, &heartbeat(&one, 4)).await.is_ok()
    })
    .await;
    let after = registry.changes(cursor, &mut trusted).await.unwrap();
    assert_eq!(after.beats.len(), 1);
}

pub async fn news() {
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    let identity = Identity::from_seed([1; 32]);
    registry
        .beat(&identity, &heartbeat(&identity, 1))
        .await
        .unwrap();
    let mut news = registry.news().await.unwrap();
    registry.deregister(identity.id()).await.unwrap();
    assert_eq!(news.next().await, Some(News::Registry));
    drop(redis);
    assert_eq!(news.next().await, None);
}

pub async fn grants() {
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    let operator = Identity::from_seed([9; 32]);
    let worker = Identity::from_seed([1; 32]);
    let granted = Heartbeat {
        grant: Some(OperatorGrant::new(&operator, worker.id())),
        ..heartbeat(&worker, 1)
    };
    registry.beat(&worker, &granted).await.unwrap();
    let workers = registry.workers().await.unwrap();
    assert_eq!(workers[0].heartbeat.operator(), operator.id());

    // A grant for another worker.
    let thief = Identity::from_seed([2; 32]);
    let stolen = Heartbeat {
        grant: granted.grant,
        ..heartbeat(&thief, 1)
    };
    registry.beat(&thief, &stolen).await.unwrap();
    assert_eq!(registry.workers().await.unwrap().len(), 1);
}
