//! A connection to one Redis, or to a Redis Cluster.

use redis::{
    Client, Cmd, Pipeline, RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig},
    cluster::ClusterClientBuilder,
    cluster_async::ClusterConnection,
};
use std::time::Duration;
use streamsync_core::config::RedisConfig;

/// How long a connection, or an answer, is waited for.
const PATIENCE: Duration = Duration::from_secs(2);
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

impl Connection {
    /// Connects, and fails at once when Redis does not answer.
    pub(crate) async fn open(config: &RedisConfig) -> RedisResult<Self> {
        let url = config.url.expose().clone();
        if config.cluster {
            let client = ClusterClientBuilder::new([url])
                .connection_timeout(PATIENCE)
                .response_timeout(PATIENCE)
                .retries(u32::try_from(RETRIES).unwrap_or(u32::MAX))
                .min_retry_wait(FIRST_WAIT.as_millis() as u64)
                .max_retry_wait(LONGEST_WAIT.as_millis() as u64)
                .build()?;
            return Ok(Self::Cluster(client.get_async_connection().await?));
        }
        let client = Client::open(url)?;
        let settings = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE))
            .set_min_delay(FIRST_WAIT)
            .set_max_delay(LONGEST_WAIT)
            .set_number_of_retries(RETRIES);
        let manager = ConnectionManager::new_with_config(client, settings).await?;
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
