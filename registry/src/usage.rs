//! How much keys are used, over all routers: family `usage:{key}`, and which routers there are.

use crate::{Registry, RegistryError};
use redis::Script;
use std::{sync::LazyLock, time::Duration};
use streamsync_core::{KeyId, Limits, WorkerId};

static USAGE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("usage.lua")));
static ROUTERS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "local clock = redis.call('TIME') \
         local now = clock[1] * 1000 + math.floor(clock[2] / 1000) \
         redis.call('ZADD', KEYS[1], now, ARGV[1]) \
         redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - 5000) \
         return redis.call('ZCARD', KEYS[1])",
    )
});

/// What a router let a key use since it last said so.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// Requests.
    pub requests: u64,
    /// Rows of answers.
    pub rows: u64,
    /// Bytes of answers.
    pub bytes: u64,
    /// Queries that are under way now.
    pub concurrent: u64,
}

/// What all routers together let a key use this minute.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct UsageTotals {
    /// Requests, rows and bytes since the minute began, and queries under way now.
    pub used: Usage,
    /// How long the minute still takes.
    pub left: Duration,
    /// How many more requests the router may let through until it asks again.
    pub requests: u64,
    /// How many more queries it may begin.
    pub begins: u64,
}

impl Registry {
    /// Adds what one of so many routers let keys use. Says what all let each of them use, and how
    /// much more this one may until it asks again: all together no more than the key's limits.
    pub async fn add_usage(
        &self,
        router: WorkerId,
        routers: u64,
        used: &[(KeyId, Usage, Limits)],
    ) -> Result<Vec<UsageTotals>, RegistryError> {
        let failed = self.failed("add up the usage of keys");
        let mut redis = self.redis();
        let calls = used.iter().map(|(key, usage, limits)| {
            let mut call = USAGE.prepare_invoke();
            call.key(self.key(&format!("usage:{key}")))
                .arg(router.to_string())
                .arg(usage.requests)
                .arg(usage.rows)
                .arg(usage.bytes)
                .arg(usage.concurrent)
                .arg(routers.max(1))
                .arg(limits.requests_per_minute.unwrap_or_default())
                .arg(limits.concurrent.unwrap_or_default());
            call
        });
        let mut totals = Vec::with_capacity(used.len());
        for call in calls {
            let (all_requests, rows, bytes, concurrent, left, requests, begins) =
                call.invoke_async(&mut redis).await.map_err(&failed)?;
            totals.push(UsageTotals {
                used: Usage {
                    requests: all_requests,
                    rows,
                    bytes,
                    concurrent,
                },
                left: Duration::from_millis(left),
                requests,
                begins,
            });
        }
        Ok(totals)
    }

    /// Says that a router is there. Returns how many there are.
    pub async fn router_is_there(&self, router: WorkerId) -> Result<u64, RegistryError> {
        ROUTERS
            .key(self.key("routers"))
            .arg(router.to_string())
            .invoke_async(&mut self.redis())
            .await
            .map_err(self.failed("count the routers"))
    }
}
