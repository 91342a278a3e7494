//! The registry as a whole: its connection, its keys, its errors.

use crate::connection::Connection;
use redis::AsyncCommands;
use std::sync::Arc;
use streamsync_core::{SecretUrl, config::RedisConfig};

/// The registry in Redis. Cheap to clone; reconnects by itself.
#[derive(Clone)]
pub struct Registry {
    redis: Connection,
    url: SecretUrl,
    prefix: Arc<str>,
}

/// Why the registry did not answer.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Redis is not there, or refuses us.
    #[error("could not connect to Redis at {url}; is it running, and is redis.url right?")]
    Connect {
        /// Where it was looked for, without its password.
        url: SecretUrl,
        /// Why.
        source: redis::RedisError,
    },
    /// Redis did not do what it was asked.
    #[error("could not {action} in Redis at {url}")]
    Command {
        /// What was being done.
        action: &'static str,
        /// Where.
        url: SecretUrl,
        /// Why.
        source: redis::RedisError,
    },
    /// What was to be kept could not be written as JSON.
    #[error("could not write what the registry should keep as JSON")]
    Encode(#[from] serde_json::Error),
}

impl Registry {
    /// Connects, and fails at once when Redis does not answer. Later losses of the connection are
    /// mended in the background; commands fail until then.
    pub async fn connect(config: &RedisConfig) -> Result<Self, RegistryError> {
        let failed = |source| RegistryError::Connect {
            url: config.url.clone(),
            source,
        };
        let redis = Connection::open(config).await.map_err(failed)?;
        let prefix = format!("{{{}}}:", config.prefix).into();
        Ok(Self {
            redis,
            url: config.url.clone(),
            prefix,
        })
    }

    /// Whether Redis answers.
    pub async fn ping(&self) -> Result<(), RegistryError> {
        let mut redis = self.redis.clone();
        redis.ping::<()>().await.map_err(self.failed("ping"))
    }

    pub(crate) fn redis(&self) -> Connection {
        self.redis.clone()
    }

    pub(crate) fn url(&self) -> &SecretUrl {
        &self.url
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    pub(crate) fn failed(
        &self,
        action: &'static str,
    ) -> impl Fn(redis::RedisError) -> RegistryError + '_ {
        move |source| RegistryError::Command {
            action,
            url: self.url.clone(),
            source,
        }
    }
}
