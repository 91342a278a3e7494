//! Evidence against workers that answered wrongly: family `evidence`, a stream.

use crate::{Pending, Registry, RegistryError, standing::REMEMBERED};
use redis::{AsyncCommands, Script, streams::StreamRangeReply};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, sync::LazyLock, time::Duration};
use streamsync_core::{Query, QueryId, SignedAnswer, WorkerId};

static CONVICT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("convict.lua")));

/// What proves, or shows, that workers answered a query wrongly.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// The query, with the snapshot that it was pinned to: anyone can run it again.
    pub query: Query,
    /// Every signed answer to it, of those that agree and of those that do not.
    pub answers: Vec<SignedAnswer>,
    /// The workers found to be wrong, with what they did.
    pub accused: BTreeMap<WorkerId, Offence>,
    /// When the router found so, in milliseconds since 1970.
    pub at_ms: u64,
}

/// What a worker did.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Offence {
    /// It signed an answer that the majority contradicts: its signature proves it.
    WrongAnswer,
    /// It sent what no honest worker sends: rows other than it signed, another's signature, an
    /// answer to something else. Only the router saw it.
    Dishonest,
}

impl Offence {
    /// Its name, as in the lake's table.
    pub fn name(self) -> &'static str {
        match self {
            Self::WrongAnswer => "wrong-answer",
            Self::Dishonest => "dishonest",
        }
    }
}

impl Registry {
    /// Files evidence, takes the reputation of the accused, and excludes them for `exclusion`,
    /// twice as long at each further conviction. All routers are told at once. Evidence on the same
    /// query that was filed before changes nothing; then this returns false.
    pub async fn convict(
        &self,
        evidence: &Evidence,
        exclusion: Duration,
    ) -> Result<bool, RegistryError> {
        let mut call = CONVICT.prepare_invoke();
        call.key(self.key(&format!("convicted:{}", evidence.query.id)))
            .key(self.key("evidence"))
            .key(self.key("standings"))
            .arg(self.key(""))
            .arg(REMEMBERED.as_millis() as u64)
            .arg(exclusion.as_millis() as u64)
            .arg(serde_json::to_string(evidence)?)
            .arg(self.news_channel());
        for accused in evidence.accused.keys() {
            call.arg(accused.to_string());
        }
        call.invoke_async(&mut self.redis())
            .await
            .map_err(self.failed("file evidence"))
    }

    /// Evidence on a query that was not archived yet.
    pub async fn evidence_on(&self, query: QueryId) -> Result<Option<Evidence>, RegistryError> {
        let entries: StreamRangeReply = self
            .redis()
            .xrange_all(self.key("evidence"))
            .await
            .map_err(self.failed("look for evidence"))?;
        let evidence = entries.ids.iter().filter_map(|entry| {
            let json = entry.get::<String>("evidence")?;
            serde_json::from_str::<Evidence>(&json).ok()
        });
        Ok(evidence
            .into_iter()
            .find(|evidence| evidence.query.id == query))
    }

    /// The oldest evidence that was not archived yet, up to a boundary that stays the same until
    /// [`Registry::evidence_archived`]: whoever archives, and however often, has the same before
    /// him.
    pub async fn evidence_to_archive(
        &self,
        most: usize,
    ) -> Result<Vec<Pending<Evidence>>, RegistryError> {
        self.pending("evidence", "evidence", most).await
    }

    /// Forgets evidence up to and including an id, once it is in the lake.
    pub async fn evidence_archived(&self, last: &str) -> Result<(), RegistryError> {
        self.forget_pending("evidence", last).await
    }
}
