//! Entries of streams that wait to be moved into the lake.

use crate::{Registry, RegistryError};
use redis::{Script, Value, streams::StreamRangeReply};
use serde::de::DeserializeOwned;
use std::sync::LazyLock;

static BOUNDARY: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("boundary.lua")));

/// An entry with its place in the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending<T> {
    /// Its place: `milliseconds-number`, ascending.
    pub id: String,
    /// What it is; `None` where this version cannot read it.
    pub entry: Option<T>,
}

impl Registry {
    /// The oldest entries, up to a boundary that stays the same until they are forgotten: whoever
    /// archives, and however often, has the same before him.
    pub(crate) async fn pending<T: DeserializeOwned>(
        &self,
        stream: &str,
        field: &str,
        most: usize,
    ) -> Result<Vec<Pending<T>>, RegistryError> {
        let failed = self.failed("read what is to be archived");
        let mut redis = self.redis();
        let boundary: Option<String> = BOUNDARY
            .key(self.key(stream))
            .key(self.key(&format!("{stream}:boundary")))
            .arg(most)
            .invoke_async(&mut redis)
            .await
            .map_err(&failed)?;
        let Some(boundary) = boundary else {
            return Ok(Vec::new());
        };
        let entries: StreamRangeReply = redis::cmd("XRANGE")
            .arg(self.key(stream))
            .arg("-")
            .arg(boundary)
            .query_async(&mut redis)
            .await
            .map_err(&failed)?;
        let pending = entries.ids.into_iter().map(|entry| Pending {
            entry: entry
                .get::<String>(field)
                .and_then(|json| serde_json::from_str(&json).ok()),
            id: entry.id,
        });
        Ok(pending.collect())
    }

    /// Forgets entries up to and including an id, once they are in the lake.
    pub(crate) async fn forget_pending(
        &self,
        stream: &str,
        last: &str,
    ) -> Result<(), RegistryError> {
        // The first id after the last one: XTRIM keeps what is not smaller.
        let next = match last.split_once('-') {
            Some((millis, number)) => {
                let number: u64 = number.parse().unwrap_or(u64::MAX);
                format!("{millis}-{}", number.saturating_add(1))
            }
            None => last.to_owned(),
        };
        redis::pipe()
            .atomic()
            .cmd("XTRIM")
            .arg(self.key(stream))
            .arg("MINID")
            .arg(next)
            .del(self.key(&format!("{stream}:boundary")))
            .query_async::<Value>(&mut self.redis())
            .await
            .map(drop)
            .map_err(self.failed("forget what was archived"))
    }
}
