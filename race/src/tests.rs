#![allow(clippy::unwrap_used)]

mod choice;
mod race;

use crate::{Known, Roster};
use std::sync::Arc;
use streamsync_core::{
    Identity, OperatorGrant, Partition, QueryId, WorkerId, clock::ManualClock, config::RaceConfig,
};
use streamsync_registry::{Health, Heartbeat, Standing};

/// A healthy worker without a record, its own operator.
fn known(number: u16) -> Known {
    let [high, low] = number.to_be_bytes();
    let mut seed = [7; 32];
    (seed[0], seed[1]) = (high, low);
    let worker = Identity::from_seed(seed).id();
    let heartbeat = serde_json::json!({
        "worker": worker, "endpoint": "http://127.0.0.1:1", "version": "0", "running": 0,
        "waiting": 0, "cached_bytes": 0, "interval_ms": 1_000, "sent_at_ms": 1, "concurrency": 4,
    });
    let heartbeat: Heartbeat = serde_json::from_value(heartbeat).unwrap();
    Known {
        heartbeat: Arc::new(heartbeat),
        health: Health::Healthy,
        standing: Standing::default(),
        record: Arc::default(),
    }
}

fn changed(mut known: Known, change: impl FnOnce(&mut Heartbeat)) -> Known {
    change(Arc::make_mut(&mut known.heartbeat));
    known
}

/// The worker, run by one of a few operators.
fn run_by(known: Known, operator: u8) -> Known {
    let operator = Identity::from_seed([operator; 32]);
    changed(known, |heartbeat| {
        heartbeat.grant = Some(OperatorGrant::new(&operator, heartbeat.worker));
    })
}

fn roster(known: Vec<Known>) -> Roster {
    Roster::new(known, &RaceConfig::default(), 0, None, None)
}

fn partition(number: u64) -> Partition {
    Partition {
        table: "signatures".parse().unwrap(),
        values: [("bucket".to_owned(), Some(number.to_string()))].into(),
    }
}

fn query(number: u64) -> QueryId {
    let mut random = [0; 10];
    random[..8].copy_from_slice(&number.to_be_bytes());
    QueryId::new(&ManualClock::at(1), random)
}

fn ids(members: &[Arc<crate::Member>]) -> Vec<WorkerId> {
    members.iter().map(|member| member.id()).collect()
}
