//! How often partitions are asked for: family `heat:{table}:{hour}`.
//!
//! One sorted set for each table and hour, so that what was asked long ago fades and goes by
//! itself: an hour counts half as much as the one after it, and the fourth not at all.

use crate::{Registry, RegistryError};
use redis::AsyncCommands;
use std::collections::BTreeMap;
use streamsync_core::{Partition, TableName};

/// The hours that count.
const HOURS: u64 = 3;
/// The partitions of one table and hour that are kept: the hottest.
const KEPT: isize = 10_000;
const HOUR_MS: u64 = 3_600_000;

impl Registry {
    /// Adds to the counts of partitions, at a time in milliseconds since 1970.
    pub async fn heat(
        &self,
        counts: &BTreeMap<Partition, u64>,
        now_ms: u64,
    ) -> Result<(), RegistryError> {
        let hour = now_ms / HOUR_MS;
        let mut pipe = redis::pipe();
        let mut touched = std::collections::BTreeSet::new();
        for (partition, count) in counts {
            let key = self.heat_key(&partition.table, hour);
            let member = serde_json::to_string(partition)?;
            pipe.zincr(&key, member, *count).ignore();
            touched.insert(key);
        }
        for key in &touched {
            pipe.zremrangebyrank(key, 0, -KEPT - 1).ignore();
            let seconds = i64::try_from((HOURS + 1) * HOUR_MS / 1_000).unwrap_or(i64::MAX);
            pipe.expire(key, seconds).ignore();
        }
        if touched.is_empty() {
            return Ok(());
        }
        pipe.query_async(&mut self.redis())
            .await
            .map_err(self.failed("count partitions"))
    }

    /// The partitions of a table that are asked for most, hottest first.
    pub async fn hottest(
        &self,
        table: &TableName,
        limit: usize,
        now_ms: u64,
    ) -> Result<Vec<Partition>, RegistryError> {
        let mut heat: BTreeMap<String, f64> = BTreeMap::new();
        let last = isize::try_from(limit)
            .unwrap_or(isize::MAX)
            .saturating_sub(1);
        for age in 0..HOURS {
            let key = self.heat_key(table, (now_ms / HOUR_MS).saturating_sub(age));
            let counted: Vec<(String, f64)> = self
                .redis()
                .zrevrange_withscores(key, 0, last)
                .await
                .map_err(self.failed("read the heat of partitions"))?;
            for (partition, count) in counted {
                *heat.entry(partition).or_default() += count / (1_u64 << age) as f64;
            }
        }
        let mut heat: Vec<_> = heat.into_iter().collect();
        heat.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
        heat.truncate(limit);
        // What a later version has written, and this one does not understand, is not prefetched.
        let partitions = heat
            .iter()
            .map(|(partition, _)| serde_json::from_str(partition));
        Ok(partitions.filter_map(Result::ok).collect())
    }

    fn heat_key(&self, table: &TableName, hour: u64) -> String {
        self.key(&format!("heat:{table}:{hour}"))
    }
}
