//! The registry as a whole: its connection, its keys, its errors.

use crate::connection::{Connection, client};
use redis::{AsyncCommands, Script};
use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock},
};
use streamsync_core::{SecretUrl, config::RedisConfig};

/// The format of what is kept: greater than that of all versions that do not understand it. Keys and fields
/// that others may ignore do not change it.
const FORMAT: u32 = 1;

/// The registry in Redis. Cheap to clone; reconnects by itself.
#[derive(Clone)]
pub struct Registry {
    redis: Connection,
    /// By which further connections are made.
    client: Arc<redis::Client>,
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
    /// A later version has written to Redis what this one does not understand.
    #[error(
        "Redis at {url} has format {found}, and this version understands up to {FORMAT}: run a later version"
    )]
    Newer {
        /// Where.
        url: SecretUrl,
        /// The format that it has.
        found: u32,
    },
    /// What was to be kept could not be written as JSON.
    #[error("could not write what the registry should keep as JSON")]
    Encode(#[from] serde_json::Error),
}

impl RegistryError {
    /// Whether Redis has answered, and refused.
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Connect { source, .. } | Self::Command { source, .. } => {
                matches!(
                    source.kind(),
                    redis::ErrorKind::Server(_) | redis::ErrorKind::Extension
                )
            }
            _ => false,
        }
    }
}

impl Registry {
    /// Connects, and fails at once when Redis does not answer. Later losses of the connection are
    /// mended in the background; commands fail until then.
    pub async fn connect(config: &RedisConfig) -> Result<Self, RegistryError> {
        let failed = |source| RegistryError::Connect {
            url: config.url.clone(),
            source,
        };
        let client = client(config).map_err(failed)?;
        let redis = Connection::open(config, &client).await.map_err(failed)?;
        let prefix = format!("{{{}}}:", config.prefix).into();
        let registry = Self {
            redis,
            client: Arc::new(client),
            url: config.url.clone(),
            prefix,
        };
        registry.understood().await?;
        Ok(registry)
    }

    /// Sees whether this version understands what is kept. Nothing yet is as good as what it would write.
    async fn understood(&self) -> Result<(), RegistryError> {
        let found: Option<u32> = self
            .redis()
            .get(self.key("format"))
            .await
            .map_err(self.failed("ask for the format"))?;
        match found {
            Some(found) if found > FORMAT => Err(RegistryError::Newer {
                url: self.url.clone(),
                found,
            }),
            Some(found) if found == FORMAT => Ok(()),
            // From now on an earlier version does not start.
            _ => {
                static RAISE: LazyLock<Script> = LazyLock::new(|| {
                    Script::new(
                        "if tonumber(redis.call('GET', KEYS[1]) or '0') < tonumber(ARGV[1]) then \
                         redis.call('SET', KEYS[1], ARGV[1]) end return 0",
                    )
                });
                let mut raise = RAISE.key(self.key("format"));
                raise
                    .arg(FORMAT)
                    .invoke_async(&mut self.redis())
                    .await
                    .map_err(self.failed("note the format"))
            }
        }
    }

    /// Whether Redis answers.
    pub async fn ping(&self) -> Result<(), RegistryError> {
        let mut redis = self.redis.clone();
        redis.ping::<()>().await.map_err(self.failed("ping"))
    }

    /// What Redis says of a setting of its own, such as `appendonly`; `None` where it says nothing of it.
    /// Services often let nobody ask, which is an error.
    pub async fn setting(&self, name: &str) -> Result<Option<String>, RegistryError> {
        let asked = redis::cmd("CONFIG").arg("GET").arg(name).to_owned();
        let said = asked.query_async(&mut self.redis.clone()).await;
        let said: BTreeMap<String, String> = said.map_err(self.failed("read settings"))?;
        Ok(said.into_values().next())
    }

    pub(crate) fn redis(&self) -> Connection {
        self.redis.clone()
    }

    pub(crate) fn client(&self) -> &redis::Client {
        &self.client
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
