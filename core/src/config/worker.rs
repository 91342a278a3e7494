//! What a worker may use.

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
    /// The URL under which routers reach the worker; without one, `http://` and the address that
    /// it listens on.
    pub advertise: Option<Url>,
    /// The file of the worker's key pair, as solana-keygen writes it; it is made when absent.
    /// Without a file the worker has a new identity each time.
    pub keypair: Option<PathBuf>,
    /// The memory that DuckDB may use, in bytes.
    pub memory_bytes: u64,
    /// The threads of one DuckDB; 0 is one for each core.
    pub threads: usize,
    /// How many queries run at once; 0 is one for each core.
    pub concurrency: usize,
    /// How many queries wait for their turn; more are told to come back later.
    pub queue: usize,
    /// The folder for what does not fit in memory; without one, queries that do not fit fail.
    pub spill_folder: Option<PathBuf>,
    /// The most bytes in the spill folder.
    pub spill_bytes: u64,
    /// How often the worker tells the registry that it lives, in milliseconds. Routers call it
    /// suspect after three missed heartbeats, and failed after five.
    pub heartbeat_ms: u64,
    /// How long a stopping worker waits for the queries under way, in milliseconds.
    pub drain_ms: u64,
}

impl Default for WorkerConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            advertise: None,
            keypair: None,
            memory_bytes: 2 << 30,
            threads: 0,
            concurrency: 0,
            queue: 64,
            spill_folder: None,
            spill_bytes: 8 << 30,
            heartbeat_ms: 1_000,
            drain_ms: 30_000,
        }
    }
}

impl WorkerConfig {
    pub(super) fn faults(&self, faults: &mut Vec<String>) {
        if self.memory_bytes < 64 << 20 {
            faults.push("worker.memory_bytes is under 64 MiB (67108864)".to_owned());
        }
        if self.heartbeat_ms == 0 {
            faults.push("worker.heartbeat_ms is 0; it must be at least 1".to_owned());
        }
        if let Some(url) = &self.advertise
            && url.scheme() != "http"
        {
            faults.push(format!(
                "worker.advertise is {url}; it must be an http:// URL"
            ));
        }
    }
}
