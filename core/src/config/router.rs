//! How the router races.

use crate::Amount;
use serde::{Deserialize, Serialize};
use std::net::{Ipv4Addr, SocketAddr};

/// The router, section `[router]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RouterConfig {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// How many workers race for a query, 1 to 7.
    pub racers: usize,
    /// How many further workers must confirm the first answer in `quorum`, fewer than racers.
    pub confirmations: usize,
    /// How long a query may take when the client names no deadline, in milliseconds.
    pub default_deadline_ms: u64,
    /// The longest deadline that a client may name, in milliseconds.
    pub max_deadline_ms: u64,
    /// The most queries raced at once; more are told to come back later.
    pub max_in_flight: usize,
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
    /// The price of a query in base units of STRM.
    pub base_price: Amount,
    /// A query that took longer than this on the router is free, in milliseconds.
    pub promise_ms: u64,
}

impl Default for RouterConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            racers: 5,
            confirmations: 2,
            default_deadline_ms: 10_000,
            max_deadline_ms: 60_000,
            max_in_flight: 256,
            max_request_bytes: 1 << 20,
            max_rows: 1_000_000,
            max_answer_bytes: 256 << 20,
            snapshot_poll_ms: 1_000,
            registry_poll_ms: 500,
            base_price: Amount(10_000),
            promise_ms: 10,
        }
    }
}

impl RouterConfig {
    pub(super) fn faults(&self, faults: &mut Vec<String>) {
        if !(1..=7).contains(&self.racers) {
            faults.push(format!(
                "router.racers is {}; it must be 1 to 7",
                self.racers
            ));
        }
        if self.confirmations >= self.racers {
            faults.push(format!(
                "router.confirmations is {}; it must be less than router.racers, {}",
                self.confirmations, self.racers
            ));
        }
        if self.default_deadline_ms > self.max_deadline_ms {
            faults.push("router.default_deadline_ms is over router.max_deadline_ms".to_owned());
        }
        for (name, value) in [
            ("default_deadline_ms", self.default_deadline_ms),
            ("max_in_flight", self.max_in_flight as u64),
            ("max_request_bytes", self.max_request_bytes as u64),
            ("max_rows", self.max_rows),
            ("max_answer_bytes", self.max_answer_bytes),
            ("snapshot_poll_ms", self.snapshot_poll_ms),
            ("registry_poll_ms", self.registry_poll_ms),
        ] {
            if value == 0 {
                faults.push(format!("router.{name} is 0; it must be at least 1"));
            }
        }
    }
}
