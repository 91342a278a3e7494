//! Two nodes of a Redis Cluster, all slots on the one that the registry is not told of.

use super::{Identity, Registry, evidence::evidence, heartbeat};
use std::time::Duration;
use streamsync_core::config::RedisConfig;
use streamsync_registry::{Cursor, TrustedGrants};
use streamsync_testing::{Redis, eventually};
use uuid::Uuid;

pub async fn all() {
    let (told, holds_all) = (
        Redis::start_cluster_node().await,
        Redis::start_cluster_node().await,
    );
    let mut raw = holds_all.connection().await.unwrap();
    let mut command = redis::cmd("CLUSTER");
    let _: () = command
        .arg("ADDSLOTSRANGE")
        .arg(0)
        .arg(16_383)
        .query_async(&mut raw)
        .await
        .unwrap();
    let _: () = redis::cmd("CLUSTER")
        .arg("MEET")
        .arg("127.0.0.1")
        .arg(told.port())
        .query_async(&mut raw)
        .await
        .unwrap();
    for node in [&told, &holds_all] {
        let connection = node.connection().await.unwrap();
        eventually(Duration::from_secs(30), async || {
            let info: String = redis::cmd("CLUSTER")
                .arg("INFO")
                .query_async(&mut connection.clone())
                .await
                .unwrap();
            info.contains("cluster_state:ok")
        })
        .await;
    }

    let config = RedisConfig {
        url: told.url().parse().unwrap(),
        cluster: true,
        timeout_ms: 30_000,
        ..RedisConfig::default()
    };
    let registry = Registry::connect(&config).await.unwrap();
    registry.ping().await.unwrap();
    let worker = Identity::from_seed([1; 32]);
    registry
        .beat(&worker, &heartbeat(&worker, 1))
        .await
        .unwrap();
    let hour = Duration::from_secs(3_600);
    let observed = [(worker.id(), Default::default())].into();
    assert!(
        registry
            .observe(Uuid::nil(), &observed, hour)
            .await
            .unwrap()
    );
    assert!(registry.convict(&evidence(1, &worker), hour).await.unwrap());
    let filed = registry.evidence_to_archive(10).await.unwrap();
    registry.evidence_archived(&filed[0].id).await.unwrap();
    assert!(
        registry
            .lease("job", Uuid::nil(), hour)
            .await
            .unwrap()
            .is_some()
    );
    let mut trusted = TrustedGrants::default();
    let changes = registry
        .changes(Cursor::default(), &mut trusted)
        .await
        .unwrap();
    assert_eq!((changes.beats.len(), changes.standings.len()), (1, 1));
    assert_eq!(changes.standings[0].1.convictions, 1);
    let standings = changes.standings.into_iter().collect();
    assert_eq!(registry.restore(&standings).await.unwrap(), 0);
    registry.heat(&Default::default(), 0).await.unwrap();
    registry.deregister(worker.id()).await.unwrap();
    assert!(registry.workers().await.unwrap().is_empty());
}
