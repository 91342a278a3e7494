//! The connection to Redis, and the workers in it.

use crate::{Health, Heartbeat, SignedHeartbeat};
use redis::{
    AsyncCommands, Client, Script, Value,
    aio::{ConnectionManager, ConnectionManagerConfig},
    from_redis_value,
};
use std::{
    sync::{Arc, LazyLock},
    time::Duration,
};
use streamsync_core::{Identity, SecretUrl, WorkerId, config::RedisConfig};

/// How long a worker's last heartbeat is kept: long enough to show that it failed.
const KEPT_FOR: Duration = Duration::from_secs(60);

static HEARTBEAT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("heartbeat.lua")));
static WORKERS: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("workers.lua")));

/// The registry in Redis. Cheap to clone; reconnects by itself.
#[derive(Clone)]
pub struct Registry {
    redis: ConnectionManager,
    url: SecretUrl,
    prefix: Arc<str>,
}

/// A worker as the registry knows it.
#[derive(Clone, Debug)]
pub struct RegisteredWorker {
    /// The last heartbeat; its signature was checked.
    pub heartbeat: Heartbeat,
    /// How long ago Redis received it.
    pub age: Duration,
}

impl RegisteredWorker {
    /// The worker's state.
    pub fn health(&self) -> Health {
        Health::of(self.age, self.heartbeat.interval())
    }
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
    /// A heartbeat could not be written as JSON.
    #[error("could not write the heartbeat")]
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
        let client = Client::open(config.url.expose().clone()).map_err(failed)?;
        let patience = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(Duration::from_secs(2)))
            .set_response_timeout(Some(Duration::from_secs(2)))
            .set_number_of_retries(1);
        let redis = ConnectionManager::new_with_config(client, patience)
            .await
            .map_err(failed)?;
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

    /// Registers a worker, or keeps it registered. Returns false if a later heartbeat of the same
    /// worker is known already: then another process has the same key pair.
    pub async fn beat(
        &self,
        identity: &Identity,
        heartbeat: &Heartbeat,
    ) -> Result<bool, RegistryError> {
        let SignedHeartbeat { payload, signature } = heartbeat.sign(identity)?;
        HEARTBEAT
            .key(self.worker_key(heartbeat.worker))
            .key(self.index_key())
            .arg(heartbeat.worker.to_string())
            .arg(payload)
            .arg(signature.to_string())
            .arg(heartbeat.sent_at_ms)
            .arg(KEPT_FOR.as_millis() as u64)
            .invoke_async(&mut self.redis.clone())
            .await
            .map_err(self.failed("keep the heartbeat"))
    }

    /// Forgets a worker, when it stops.
    pub async fn deregister(&self, worker: WorkerId) -> Result<(), RegistryError> {
        redis::pipe()
            .atomic()
            .del(self.worker_key(worker))
            .zrem(self.index_key(), worker.to_string())
            .query_async(&mut self.redis.clone())
            .await
            .map_err(self.failed("deregister the worker"))
    }

    /// All workers whose heartbeats are genuine, sorted by id. What is forged or malformed is
    /// logged and left out.
    pub async fn workers(&self) -> Result<Vec<RegisteredWorker>, RegistryError> {
        let failed = self.failed("list the workers");
        let answer: Vec<Value> = WORKERS
            .key(self.index_key())
            .arg(format!("{}worker:", self.prefix))
            .invoke_async(&mut self.redis.clone())
            .await
            .map_err(&failed)?;
        let mut answer = answer.into_iter();
        let now: u64 = match answer.next() {
            Some(now) => from_redis_value(now).map_err(|error| failed(error.into()))?,
            None => return Ok(Vec::new()),
        };
        let mut workers: Vec<_> = answer.filter_map(|entry| believed(now, entry)).collect();
        workers.sort_by_key(|worker| worker.heartbeat.worker);
        Ok(workers)
    }

    pub(crate) fn redis(&self) -> ConnectionManager {
        self.redis.clone()
    }

    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    fn worker_key(&self, worker: WorkerId) -> String {
        format!("{}worker:{worker}", self.prefix)
    }

    fn index_key(&self) -> String {
        format!("{}workers", self.prefix)
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

fn believed(now: u64, entry: Value) -> Option<RegisteredWorker> {
    let (worker, payload, signature, received): (String, String, String, u64) =
        from_redis_value(entry).ok()?;
    let worker: WorkerId = worker.parse().ok()?;
    let signed = SignedHeartbeat {
        payload,
        signature: signature.parse().ok()?,
    };
    match signed.verify(worker) {
        Ok(heartbeat) => {
            let age = Duration::from_millis(now.saturating_sub(received));
            Some(RegisteredWorker { heartbeat, age })
        }
        Err(error) => {
            tracing::warn!(%worker, %error, "a registration is not believed");
            None
        }
    }
}
