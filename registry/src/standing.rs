//! What the network thinks of each worker: families `standing:{id}` and `history:{id}`.

use crate::{Observed, Registry, RegistryError, Reputation};
use redis::{AsyncCommands, FromRedisValue, ParsingError, Script, Value};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
    time::Duration,
};
use streamsync_core::{Amount, WorkerId};
use uuid::Uuid;

static OBSERVE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("observe.lua")));
static RESTORE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("restore.lua")));

/// How long a report is remembered, so that it is not counted again.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(24 * 3_600);

/// What the network thinks of a worker.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// Its record.
    pub reputation: Reputation,
    /// How often it was proven to lie.
    pub convictions: u32,
    /// Until when it is not asked, in milliseconds since 1970.
    pub excluded_until_ms: u64,
    /// What its operator has at stake on chain; `None` where that is not known.
    pub stake: Option<Amount>,
    /// When this was last changed, in milliseconds since 1970.
    pub updated_ms: u64,
}

/// What a worker's record was worth at some time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PastReputation {
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// The share of its answers that were right.
    pub correctness: f64,
    /// The share of queries that it answered.
    pub availability: f64,
    /// The share of other racers that it was faster than.
    pub speed: f64,
    /// All of it in one number.
    pub score: f64,
}

impl PastReputation {
    fn of(at_ms: u64, reputation: &Reputation) -> Self {
        Self {
            at_ms,
            correctness: reputation.correctness(),
            availability: reputation.availability(),
            speed: reputation.speed(),
            score: reputation.score(),
        }
    }
}

impl Standing {
    /// Whether the worker may be asked at a time in milliseconds since 1970.
    pub fn is_excluded(&self, now_ms: u64) -> bool {
        now_ms < self.excluded_until_ms
    }

    fn fields(&self) -> [(&'static str, String); 10] {
        let Self { reputation, .. } = self;
        [
            ("right", reputation.right.to_string()),
            ("wrong", reputation.wrong.to_string()),
            ("answered", reputation.answered.to_string()),
            ("failed", reputation.failed.to_string()),
            ("places", reputation.places.to_string()),
            ("placed", reputation.placed.to_string()),
            ("convictions", self.convictions.to_string()),
            ("excluded_until_ms", self.excluded_until_ms.to_string()),
            ("updated_ms", self.updated_ms.to_string()),
            (
                "stake",
                self.stake
                    .map_or_else(String::new, |stake| stake.0.to_string()),
            ),
        ]
    }
}

/// A standing as it lies in Redis: a flat hash. What is not there, or cannot be read, is zero.
impl FromRedisValue for Standing {
    fn from_redis_value(value: Value) -> Result<Self, ParsingError> {
        let fields: HashMap<String, String> = redis::from_redis_value(value)?;
        fn read<T: std::str::FromStr>(fields: &HashMap<String, String>, name: &str) -> Option<T> {
            fields.get(name)?.parse().ok()
        }
        let sum = |name| read(&fields, name).unwrap_or_default();
        Ok(Self {
            reputation: Reputation {
                right: sum("right"),
                wrong: sum("wrong"),
                answered: sum("answered"),
                failed: sum("failed"),
                places: sum("places"),
                placed: sum("placed"),
            },
            convictions: read(&fields, "convictions").unwrap_or_default(),
            excluded_until_ms: read(&fields, "excluded_until_ms").unwrap_or_default(),
            stake: read(&fields, "stake").map(Amount),
            updated_ms: read(&fields, "updated_ms").unwrap_or_default(),
        })
    }
}

impl Registry {
    /// Adds to workers' records. A report that was added before, told by its id, changes nothing;
    /// then this returns false.
    pub async fn observe(
        &self,
        report: Uuid,
        observed: &BTreeMap<WorkerId, Observed>,
        half_life: Duration,
    ) -> Result<bool, RegistryError> {
        let mut call = OBSERVE.prepare_invoke();
        call.key(self.key(&format!("reported:{report}")))
            .key(self.key("standings"))
            .arg(self.key(""))
            .arg(REMEMBERED.as_millis() as u64)
            .arg(half_life.as_millis() as u64);
        for (worker, seen) in observed {
            call.arg(worker.to_string())
                .arg(seen.right)
                .arg(seen.wrong)
                .arg(seen.answered)
                .arg(seen.failed)
                .arg(seen.places)
                .arg(seen.placed);
        }
        call.invoke_async(&mut self.redis())
            .await
            .map_err(self.failed("add to the records of workers"))
    }

    /// What the network thinks of a worker; of an unknown one, nothing yet.
    pub async fn standing(&self, worker: WorkerId) -> Result<Standing, RegistryError> {
        self.redis()
            .hgetall(self.key(&format!("standing:{worker}")))
            .await
            .map_err(self.failed("read a worker's standing"))
    }

    /// What the network thinks of every worker.
    pub(crate) async fn standings(&self) -> Result<BTreeMap<WorkerId, Standing>, RegistryError> {
        let failed = self.failed("look up the standing of all workers");
        let mut redis = self.redis();
        let index = self.key("standings");
        let ids: Vec<String> = redis.zrange(index, 0, -1).await.map_err(&failed)?;
        let ids: Vec<WorkerId> = ids.iter().filter_map(|id| id.parse().ok()).collect();
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut commands = redis::pipe();
        for id in &ids {
            commands.hgetall(self.key(&format!("standing:{id}")));
        }
        let found: Vec<Standing> = commands.query_async(&mut redis).await.map_err(&failed)?;
        Ok(ids.into_iter().zip(found).collect())
    }

    /// What a worker's record was worth, minute by minute, newest first, a day back at the most.
    pub async fn history(&self, worker: WorkerId) -> Result<Vec<PastReputation>, RegistryError> {
        let entries: Vec<String> = self
            .redis()
            .lrange(self.key(&format!("history:{worker}")), 0, -1)
            .await
            .map_err(self.failed("read a worker's history"))?;
        let read = |entry: String| {
            let (at_ms, reputation): (u64, [f64; 6]) = serde_json::from_str(&entry).ok()?;
            let [right, wrong, answered, failed, places, placed] = reputation;
            let reputation = Reputation {
                right,
                wrong,
                answered,
                failed,
                places,
                placed,
            };
            Some(PastReputation::of(at_ms, &reputation))
        };
        Ok(entries.into_iter().filter_map(read).collect())
    }

    /// Gives workers back the standing that they had, where Redis has lost it. Returns how many
    /// that were.
    pub async fn restore(
        &self,
        standings: &BTreeMap<WorkerId, Standing>,
    ) -> Result<usize, RegistryError> {
        let mut call = RESTORE.prepare_invoke();
        call.key(self.key("standings")).arg(self.key(""));
        for (worker, standing) in standings {
            call.arg(worker.to_string());
            for (name, value) in standing.fields() {
                call.arg(name).arg(value);
            }
        }
        call.invoke_async(&mut self.redis())
            .await
            .map_err(self.failed("restore the standing of workers"))
    }
}
