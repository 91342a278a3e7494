//! What came of answers that were given before others confirmed them: family `audit:{query}`.

use crate::{Registry, RegistryError};
use redis::AsyncCommands;
use serde::{Deserialize, Serialize};
use streamsync_core::{QueryId, WorkerId};

/// For how many seconds an audit can be looked up.
const KEPT_FOR_S: u64 = 24 * 3_600;

/// What came of comparing an answer with those of others, after it was given.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Audit {
    /// The query.
    pub query: QueryId,
    /// Whose answer was given.
    pub winner: WorkerId,
    /// Whether others confirm it.
    pub finding: Finding,
    /// Who confirms it.
    pub verifiers: Vec<WorkerId>,
    /// Who answered otherwise.
    pub dissenters: Vec<WorkerId>,
}

/// What an audit found.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Finding {
    /// Enough others gave the same answer.
    Confirmed,
    /// Enough others agree on another: the answer that was given is wrong.
    Refuted,
    /// Too few answered, or they do not agree.
    Unconfirmed,
}

impl Finding {
    /// Its name, as in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Refuted => "refuted",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

impl Registry {
    /// Keeps an audit for a day. Keeping it again changes nothing.
    pub async fn keep_audit(&self, audit: &Audit) -> Result<(), RegistryError> {
        let json = serde_json::to_string(audit)?;
        self.redis()
            .set_ex(self.audit_key(audit.query), json, KEPT_FOR_S)
            .await
            .map_err(self.failed("keep an audit"))
    }

    /// The audit of a query, if there was one.
    pub async fn audit(&self, query: QueryId) -> Result<Option<Audit>, RegistryError> {
        let json: Option<String> = self
            .redis()
            .get(self.audit_key(query))
            .await
            .map_err(self.failed("read an audit"))?;
        Ok(json.and_then(|json| serde_json::from_str(&json).ok()))
    }

    fn audit_key(&self, query: QueryId) -> String {
        self.key(&format!("audit:{query}"))
    }
}
