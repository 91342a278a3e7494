//! What administrators did: family `admin`, a stream. Every change is in the same script as its
//! entry here, so that there is none without.

use crate::{Registry, RegistryError, pending::Pending};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// An administrative act.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Act {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Who: the name of an API key, or `user@host` for the command.
    pub actor: String,
    /// From where: an address, or `command`.
    pub from: String,
    /// What: `create-key`, `rotate-key`, `revoke-key`, `limit-key`, `add-credit`.
    pub action: String,
    /// To what: the name of a key or of a client.
    pub subject: String,
    /// Particulars. Never a secret.
    pub detail: Value,
}

const STREAM: &str = "admin";
const FIELD: &str = "act";

impl Registry {
    pub(crate) fn admin_key(&self) -> String {
        self.key(STREAM)
    }

    /// The newest acts that are not in the lake yet, newest first.
    pub async fn newest_acts(&self, most: usize) -> Result<Vec<Act>, RegistryError> {
        let entries: redis::streams::StreamRangeReply = redis::cmd("XREVRANGE")
            .arg(self.admin_key())
            .arg("+")
            .arg("-")
            .arg("COUNT")
            .arg(most)
            .query_async(&mut self.redis())
            .await
            .map_err(self.failed("read the administrative log"))?;
        let acts = entries
            .ids
            .iter()
            .filter_map(|entry| entry.get::<String>(FIELD));
        Ok(acts
            .filter_map(|json| serde_json::from_str(&json).ok())
            .collect())
    }

    /// The oldest acts that were not archived yet; as [`Registry::evidence_to_archive`].
    pub async fn acts_to_archive(&self, most: usize) -> Result<Vec<Pending<Act>>, RegistryError> {
        self.pending(STREAM, FIELD, most).await
    }

    /// Forgets acts up to and including an id, once they are in the lake.
    pub async fn acts_archived(&self, last: &str) -> Result<(), RegistryError> {
        self.forget_pending(STREAM, last).await
    }
}
