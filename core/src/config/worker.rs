//! What a worker may use.

use crate::Amount;
use serde::{Deserialize, Serialize};
use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
};
use url::Url;

/// A worker, section `[worker]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct WorkerConfig {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The URL under which routers reach the worker; without one, `https://` and the address that
    /// it listens on.
    pub advertise: Option<Url>,
    /// The file of the worker's key pair, as solana-keygen writes it; it is made when absent.
    /// Without a file the worker has a new identity each time.
    pub keypair: Option<PathBuf>,
    /// The file of the operator's grant, as `streamsync grant` writes it; without one the worker is
    /// its own operator.
    pub operator_grant: Option<PathBuf>,
    /// The least that the worker wants for a query, in base units of STRM.
    pub ask: Amount,
    /// The memory that the worker may use for rows and for running queries, in bytes.
    pub memory_bytes: u64,
    /// The folder for files of the lake that are kept on disk, and for what queries spill; without
    /// one, a temporary folder that the worker takes away when it stops.
    pub cache_folder: Option<PathBuf>,
    /// The most bytes of the lake that are kept on disk; 0 keeps none.
    pub disk_bytes: u64,
    /// What the worker is for.
    pub profile: Profile,
    /// The threads of one DuckDB; 0 is one for each core.
    pub threads: usize,
    /// Whether scans run only while nothing else on the machine wants the core, so that lookups are as fast
    /// beside them. Where the worker shares its cores with other programs, scans may then not get their turn
    /// within their deadlines.
    pub scans_give_way: bool,
    /// How many queries run at once; 0 is one for each core.
    pub concurrency: usize,
    /// How many queries wait for their turn; more are told to come back later.
    pub queue: usize,
    /// The most bytes that running queries may spill to disk; 0 lets queries fail that do not fit
    /// in memory.
    pub spill_bytes: u64,
    /// How often the worker tells the registry that it lives, in milliseconds. Routers call it
    /// suspect after three missed heartbeats, and failed after five.
    pub heartbeat_ms: u64,
    /// How long a stopping worker waits for the queries under way, in milliseconds.
    pub drain_ms: u64,
    /// An address where `GET /metrics`, `/healthz` and `/readyz` are answered in plain text, for
    /// scrapers and probes, which have no router's certificate.
    pub metrics_listen: Option<SocketAddr>,
}

/// What a worker is for, and so what it keeps at hand and pulls before it is asked.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Lookups by key: what it owns of the tables that are cut by key is loaded into memory and
    /// stays there.
    Speed,
    /// Whatever is asked most: the hottest of the partitions that it owns are pulled to disk before
    /// they are asked for.
    #[default]
    Cache,
    /// Old partitions: nothing is pulled before it is asked for, and most of the memory is for
    /// running queries.
    Archive,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            advertise: None,
            keypair: None,
            operator_grant: None,
            ask: Amount(1_000),
            memory_bytes: 2 << 30,
            cache_folder: None,
            disk_bytes: 16 << 30,
            profile: Profile::default(),
            threads: 0,
            scans_give_way: true,
            concurrency: 0,
            queue: 64,
            spill_bytes: 8 << 30,
            heartbeat_ms: 1_000,
            drain_ms: 30_000,
            metrics_listen: None,
        }
    }
}

impl WorkerConfig {
    pub(super) fn faults(&self, faults: &mut Vec<String>) {
        if self.memory_bytes < 64 << 20 {
            faults.push("worker.memory_bytes is under 64 MiB (67108864)".to_owned());
        }
        if self.ask == Amount::ZERO {
            faults.push("worker.ask is 0; it must be at least 1".to_owned());
        }
        if self.heartbeat_ms == 0 {
            faults.push("worker.heartbeat_ms is 0; it must be at least 1".to_owned());
        }
        if let Some(url) = &self.advertise
            && !matches!(url.scheme(), "http" | "https")
        {
            faults.push(format!(
                "worker.advertise is {url}; it must be an https:// URL"
            ));
        }
    }
}
