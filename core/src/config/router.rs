//! What the router takes in, and how much of it.

use serde::{Deserialize, Serialize};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};

/// The router, section `[router]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouterConfig {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// How long a query may take when the client names no deadline, in milliseconds.
    pub default_deadline_ms: u64,
    /// The longest deadline that a client may name, in milliseconds.
    pub max_deadline_ms: u64,
    /// The most queries raced at once; more wait.
    pub max_in_flight: usize,
    /// The most queries that wait, of all clients together; more are told to come back later.
    pub queue: usize,
    /// The most queries of one client that wait.
    pub queue_per_client: usize,
    /// How long a query may wait before it is told to come back later, in milliseconds.
    pub queue_ms: u64,
    /// How long a query waits for workers to come when too few live, in milliseconds: for networks
    /// that are scaled down to none while nobody asks. 0 tells the client at once.
    pub await_workers_ms: u64,
    /// The folder where what the registry has to be told is kept until it was; without one it is
    /// kept in memory, and lost with the process.
    pub spool_folder: Option<PathBuf>,
    /// The most bytes that are kept there.
    pub spool_bytes: u64,
    /// The most bytes of receipts that are kept there after Redis has them, until they are settled: so
    /// that a Redis that has lost them gets them again.
    pub receipt_bytes: u64,
    /// The largest request, in bytes.
    pub max_request_bytes: usize,
    /// The most rows that an answer may have.
    pub max_rows: u64,
    /// The largest answer, in bytes of Arrow.
    pub max_answer_bytes: u64,
    /// How often the lake is looked at for newer versions, in milliseconds.
    pub snapshot_poll_ms: u64,
    /// How often the registry is looked at, in milliseconds.
    pub registry_poll_ms: u64,
    /// A lookup of what workers have at hand is free if it took longer than this on the router, in
    /// milliseconds.
    pub promise_ms: u64,
    /// How long the head of a request may take to come, and how long its body, in milliseconds.
    pub request_ms: u64,
    /// The most connections at once; more wait to be accepted.
    pub max_connections: usize,
    /// An address where `GET /metrics`, `/healthz` and `/readyz` are answered without a signature, for
    /// scrapers and probes; where clients ask, metrics take a key with the scope `operate`.
    pub metrics_listen: Option<SocketAddr>,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            default_deadline_ms: 10_000,
            max_deadline_ms: 60_000,
            max_in_flight: 256,
            queue: 512,
            queue_per_client: 64,
            queue_ms: 4,
            await_workers_ms: 0,
            spool_folder: None,
            spool_bytes: 256 << 20,
            receipt_bytes: 1 << 30,
            max_request_bytes: 1 << 20,
            max_rows: 1_000_000,
            max_answer_bytes: 256 << 20,
            snapshot_poll_ms: 1_000,
            registry_poll_ms: 500,
            promise_ms: 10,
            request_ms: 10_000,
            max_connections: 10_000,
            metrics_listen: None,
        }
    }
}

impl RouterConfig {
    pub(super) fn faults(&self, faults: &mut Vec<String>) {
        if self.default_deadline_ms > self.max_deadline_ms {
            faults.push("router.default_deadline_ms is over router.max_deadline_ms".to_owned());
        }
        for (name, value) in [
            ("default_deadline_ms", self.default_deadline_ms),
            ("max_in_flight", self.max_in_flight as u64),
            ("queue_ms", self.queue_ms),
            ("spool_bytes", self.spool_bytes),
            ("max_request_bytes", self.max_request_bytes as u64),
            ("max_rows", self.max_rows),
            ("max_answer_bytes", self.max_answer_bytes),
            ("snapshot_poll_ms", self.snapshot_poll_ms),
            ("registry_poll_ms", self.registry_poll_ms),
            ("request_ms", self.request_ms),
            ("max_connections", self.max_connections as u64),
        ] {
            if value == 0 {
                faults.push(format!("router.{name} is 0; it must be at least 1"));
            }
        }
    }
}
