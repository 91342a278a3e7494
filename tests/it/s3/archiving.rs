//! What routers archive while the server fails.

use super::{assert_injected, flags, inject, injected, lines_of, proxied, table};
use crate::{
    cluster::PATIENCE,
    network::{Network, actor},
};
use std::{collections::BTreeSet, time::Duration};
use streamsync_access::MasterSecrets;
use streamsync_core::{
    Identity, Limits, Outcome, Query, QueryId, Refusal, Scope, SignedAnswer, clock::ManualClock,
    config::BucketConfig,
};
use streamsync_lake::Lake;
use streamsync_registry::{Evidence, Offence};
use streamsync_router::NewKey;
use streamsync_testing::{Fault, eventually};
use tempfile::TempDir;

const EACH: u8 = 5;
/// Which part of the requests fails: there are not many.
const SHARE: f64 = 0.2;

fn evidence(number: u8, accused: &Identity) -> Evidence {
    let id = QueryId::new(&ManualClock::at(1), [number; 10]);
    let outcome = Outcome::Refused(Refusal::InvalidQuery);
    Evidence {
        query: Query {
            id,
            sql: "SELECT 1".to_owned(),
            parameters: Vec::new(),
            snapshot: Default::default(),
            partitions: Vec::new(),
            constraints: Default::default(),
            ordered: false,
            time_left_ms: 1,
            max_rows: 1,
            max_bytes: 1,
        },
        answers: vec![SignedAnswer::new(accused, id, Default::default(), outcome)],
        accused: [(accused.id(), Offence::WrongAnswer)].into(),
        at_ms: 5,
    }
}

/// Ends the leases of a router that was killed, as time would within a minute.
fn end_leases(redis: u16) {
    let leases =
        ["archive-evidence", "archive-admin-log"].map(|job| format!("{{streamsync}}:lease:{job}"));
    let mut command = std::process::Command::new("redis-cli");
    command.args(["-p", &redis.to_string(), "DEL"]).args(leases);
    assert!(command.output().unwrap().status.success());
}

/// Two routers, one of which is killed each time, move evidence and acts of administrators from Redis
/// to the lake: all are there in the end, each once, and Redis has forgotten them only then.
pub async fn archives(bucket: BucketConfig, faults: Vec<Fault>) {
    let proxy = proxied(&bucket).await;
    let url = proxy.url();
    let bucket_flags = flags(&bucket, &url).map(str::to_owned).to_vec();
    let mut network = Network::over(TempDir::new().unwrap(), bucket_flags).await;
    let masters = MasterSecrets::new([7; 32]);
    masters.write_new(&network.master()).unwrap();
    (0..3).for_each(|_| network.start_worker(&[]));
    network.start_router(&[]).await;
    network.start_router(&[]).await;
    let registry = network.registry().await;
    let administration = network.administration().await;
    let (mut queries, mut keys) = (BTreeSet::new(), BTreeSet::new());
    let client = network.client.clone();
    for (round, fault) in (0..).zip(&faults) {
        inject(&proxy, fault, SHARE, u64::from(round));
        for number in 0..EACH {
            let number = 1 + round * EACH + number;
            let evidence = evidence(number, &Identity::from_seed([number; 32]));
            queries.insert(evidence.query.id.to_string());
            let filed = registry.convict(&evidence, Duration::from_secs(1));
            assert!(filed.await.unwrap());
            let new = NewKey {
                client: "acme".parse().unwrap(),
                scopes: [Scope::Query].into(),
                limits: Limits::default(),
            };
            let issued = administration.create_key(new, &actor()).await.unwrap();
            keys.insert(issued.key.id.as_str().to_owned());
        }
        // In the middle of whatever it does.
        eventually(PATIENCE, async || injected(&proxy, fault) > 0).await;
        let victim = usize::from(round) % 2;
        network.routers[victim].kill().await;
        end_leases(network.redis.port());
        proxy.heal();
        network.routers[victim].restart(&client).await;
        inject(&proxy, fault, SHARE, 20 + u64::from(round));
        eventually(PATIENCE, async || {
            let evidence = registry.evidence_to_archive(1).await.unwrap();
            let acts = registry.acts_to_archive(1).await.unwrap();
            evidence.is_empty() && acts.is_empty()
        })
        .await;
    }
    assert_injected(&proxy, &faults);
    let lake = Lake::open(&bucket).unwrap();
    for (name, expected) in [("evidence", &queries), ("admin_log", &keys)] {
        assert!(lake.table(&name.parse().unwrap()).await.is_ok());
        let lines = lines_of(&table(&bucket, name).await).await;
        assert_eq!(lines.len(), expected.len(), "{name}: {lines:#?}");
        for one in expected {
            let named = lines.iter().filter(|line| line.contains(one.as_str()));
            assert_eq!(named.count(), 1, "{name}: {one}");
        }
    }
}
