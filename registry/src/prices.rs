//! What the market multiplies prices by: family `prices`, with a day of history.

use crate::{Registry, RegistryError};
use redis::{AsyncCommands, Value, streams::StreamRangeReply};
use serde::Serialize;
use std::collections::HashMap;
use streamsync_core::Class;

/// How many past multipliers are kept: a day of them, one each five seconds.
const KEPT: usize = 17_280;
/// One, in millionths.
const ONE: u64 = 1_000_000;

/// What the prices of each class are multiplied by, in millionths, in the order of [`Class::ALL`].
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Multipliers(pub [u64; Class::ALL.len()]);

impl Default for Multipliers {
    fn default() -> Self {
        Self([ONE; Class::ALL.len()])
    }
}

/// Multipliers that held from some time on.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PastMultipliers {
    /// From when on, in milliseconds since 1970.
    pub at_ms: u64,
    /// They.
    pub multipliers: Multipliers,
}

impl Multipliers {
    fn read(field: impl Fn(&str) -> Option<String>) -> Self {
        Self(Class::ALL.map(|class| {
            let kept = field(class.name()).and_then(|kept| kept.parse().ok());
            kept.unwrap_or(ONE).max(1)
        }))
    }

    fn fields(&self) -> Vec<(&'static str, u64)> {
        let names = Class::ALL.iter().map(|class| class.name());
        names.zip(self.0).collect()
    }
}

impl Registry {
    /// The multipliers that hold now.
    pub async fn multipliers(&self) -> Result<Multipliers, RegistryError> {
        let fields: HashMap<String, String> = self
            .redis()
            .hgetall(self.key("prices"))
            .await
            .map_err(self.failed("read the prices"))?;
        Ok(Multipliers::read(|name| fields.get(name).cloned()))
    }

    /// Sets the multipliers, for all routers.
    pub async fn set_multipliers(&self, multipliers: &Multipliers) -> Result<(), RegistryError> {
        redis::pipe()
            .atomic()
            .hset_multiple(self.key("prices"), &multipliers.fields())
            .cmd("XADD")
            .arg(self.key("prices:history"))
            .arg("MAXLEN")
            .arg("~")
            .arg(KEPT)
            .arg("*")
            .arg(multipliers.fields())
            .query_async::<Value>(&mut self.redis())
            .await
            .map(drop)
            .map_err(self.failed("set the prices"))
    }

    /// The newest multipliers, newest first.
    pub async fn past_multipliers(
        &self,
        most: usize,
    ) -> Result<Vec<PastMultipliers>, RegistryError> {
        let entries: StreamRangeReply = redis::cmd("XREVRANGE")
            .arg(self.key("prices:history"))
            .arg("+")
            .arg("-")
            .arg("COUNT")
            .arg(most)
            .query_async(&mut self.redis())
            .await
            .map_err(self.failed("read past prices"))?;
        let past = entries.ids.iter().map(|entry| PastMultipliers {
            at_ms: entry
                .id
                .split('-')
                .next()
                .and_then(|millis| millis.parse().ok())
                .unwrap_or_default(),
            multipliers: Multipliers::read(|name| entry.get(name)),
        });
        Ok(past.collect())
    }
}
