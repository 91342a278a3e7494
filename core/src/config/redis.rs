//! Where Redis is.

use crate::SecretUrl;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use url::Url;

/// The Redis (or Valkey) that holds the registry, section `[redis]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisConfig {
    /// `redis://[user:password@]host:port[/database]`; `rediss://` speaks TLS.
    pub url: SecretUrl,
    /// A file with the authorities that may sign Redis's certificate, in PEM; without one, those that the
    /// system trusts.
    pub ca: Option<PathBuf>,
    /// Whether that is a node of a Redis Cluster; the other nodes are found through it.
    pub cluster: bool,
    /// How long a connection, or an answer, is waited for, in milliseconds.
    pub timeout_ms: u64,
    /// What every key begins with, so that several networks can share one Redis.
    pub prefix: String,
}

impl Default for RedisConfig {
    fn default() -> Self {
        #[allow(clippy::expect_used)]
        let url = Url::parse("redis://127.0.0.1:6379").expect("a constant URL is valid");
        Self {
            url: url.into(),
            ca: None,
            cluster: false,
            timeout_ms: 2_000,
            prefix: "streamsync".to_owned(),
        }
    }
}

impl RedisConfig {
    pub(super) fn faults(&self, faults: &mut Vec<String>) {
        if self.timeout_ms == 0 {
            faults.push("redis.timeout_ms is 0; it must be at least 1".to_owned());
        }
    }
}
