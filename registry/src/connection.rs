//! A connection to one Redis, or to a Redis Cluster.

use redis::{
    Client, Cmd, Pipeline, RedisError, RedisFuture, RedisResult, TlsCertificates, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
};
use std::time::Duration;
use streamsync_core::config::RedisConfig;

/// How long is waited before the first attempt to connect again; twice as long before each further
/// one, up to [`LONGEST_WAIT`], each a little longer or shorter by chance.
const FIRST_WAIT: Duration = Duration::from_millis(50);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// How often one lost connection is tried to be had again before commands fail. The next command
/// begins anew.
const RETRIES: usize = 4;

/// A connection. Cheap to clone; connects again by itself.
#[derive(Clone)]
pub(crate) enum Connection {
    Single(Box<ConnectionManager>),
    Cluster(ClusterConnection),
}

/// What connections to one node are made by.
pub(crate) fn client(config: &RedisConfig) -> RedisResult<Client> {
    let url = config.url.expose().clone();
    match certificates(config)? {
        Some(certificates) => Client::build_with_tls(url, certificates),
        None => Client::open(url),
    }
}

/// The authorities of a configuration. With them, all that TLS needs is set up.
fn certificates(config: &RedisConfig) -> RedisResult<Option<TlsCertificates>> {
    // Of the providers that dependencies bring along, one is the process's. A second attempt is refused,
    // which does no harm.
    let _was_there = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let Some(file) = &config.ca else {
        return Ok(None);
    };
    let root_cert = std::fs::read(file).map_err(|error| {
        let detail = format!("redis.ca is {}: {error}", file.display());
        RedisError::from((
            redis::ErrorKind::InvalidClientConfig,
            "the authorities cannot be read",
            detail,
        ))
    })?;
    Ok(Some(TlsCertificates {
        client_tls: None,
        root_cert: Some(root_cert),
    }))
}

impl Connection {
    /// Connects, and fails at once when Redis does not answer.
    pub(crate) async fn open(config: &RedisConfig, client: &Client) -> RedisResult<Self> {
        let patience = Duration::from_millis(config.timeout_ms);
        if config.cluster {
            let mut builder = ClusterClientBuilder::new([config.url.expose().clone()]);
            if let Some(certificates) = certificates(config)? {
                builder = builder.certs(certificates);
            }
            let client = builder
                .connection_timeout(patience)
                .response_timeout(patience)
                .retries(u32::try_from(RETRIES).unwrap_or(u32::MAX))
                .min_retry_wait(FIRST_WAIT.as_millis() as u64)
                .max_retry_wait(LONGEST_WAIT.as_millis() as u64)
                .build()?;
            return Ok(Self::Cluster(client.get_async_connection().await?));
        }
        let settings = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(patience))
            .set_response_timeout(Some(patience))
            .set_min_delay(FIRST_WAIT)
            .set_max_delay(LONGEST_WAIT)
            .set_number_of_retries(RETRIES);
        let manager = ConnectionManager::new_with_config(client.clone(), settings).await?;
        Ok(Self::Single(Box::new(manager)))
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(command),
            Self::Cluster(connection) => connection.req_packed_command(command),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        commands: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(commands, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(commands, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}
