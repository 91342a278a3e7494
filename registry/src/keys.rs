//! API keys: family `keys`, a hash of key id to JSON, with an index of when each was changed.

use crate::{Act, Registry, RegistryError};
use redis::{AsyncCommands, Script};
use std::{collections::HashMap, sync::LazyLock};
use streamsync_core::{ApiKey, KeyId};

static PUT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("put_key.lua")));
static CHANGED: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("changed_keys.lua")));

impl Registry {
    /// Keeps a key in place of what was known of it before, and tells all routers. Returns false,
    /// and changes nothing, if it is not what it was before any more.
    pub async fn put_key(
        &self,
        before: Option<&ApiKey>,
        after: &ApiKey,
        act: &Act,
    ) -> Result<bool, RegistryError> {
        let before = before.map(serde_json::to_string).transpose()?;
        PUT.key(self.key("keys"))
            .key(self.key("keys:changed"))
            .key(self.admin_key())
            .arg(after.id.as_str())
            .arg(before.unwrap_or_default())
            .arg(serde_json::to_string(after)?)
            .arg(serde_json::to_string(act)?)
            .arg(self.news_channel())
            .invoke_async(&mut self.redis())
            .await
            .map_err(self.failed("keep an API key"))
    }

    /// A key, if there is one of that name.
    pub async fn api_key(&self, id: &KeyId) -> Result<Option<ApiKey>, RegistryError> {
        let failed = self.failed("look up an API key");
        let json: Option<String> = self
            .redis()
            .hget(self.key("keys"), id.as_str())
            .await
            .map_err(failed)?;
        Ok(json.map(|json| serde_json::from_str(&json)).transpose()?)
    }

    /// All keys, by name.
    pub async fn api_keys(&self) -> Result<Vec<ApiKey>, RegistryError> {
        let kept: HashMap<String, String> = self
            .redis()
            .hgetall(self.key("keys"))
            .await
            .map_err(self.failed("list the API keys"))?;
        let mut keys: Vec<ApiKey> = kept
            .values()
            .map(|json| serde_json::from_str(json))
            .collect::<Result<_, _>>()?;
        keys.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(keys)
    }

    /// Which keys were changed since a moment by Redis's clock, in milliseconds since 1970, and the
    /// moment to ask from next.
    pub async fn changed_keys(&self, since: u64) -> Result<(Vec<KeyId>, u64), RegistryError> {
        let (now, changed): (u64, Vec<String>) = CHANGED
            .key(self.key("keys:changed"))
            .arg(since)
            .invoke_async(&mut self.redis())
            .await
            .map_err(self.failed("ask which API keys were changed"))?;
        let changed = changed.iter().filter_map(|id| id.parse().ok()).collect();
        // Others may still write in this very millisecond.
        Ok((changed, now.saturating_sub(1)))
    }
}
