//! Settled batches and what they paid, for those who ask: families `settlements`, sorted by number,
//! and `paid:{recipient}`. The lake and the chain have all of it.

use crate::{Registry, RegistryError};
use redis::{AsyncCommands, Script};
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, sync::LazyLock};
use streamsync_core::{Amount, WorkerId};

static PAID: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("paid.lua")));

/// How many batches can be looked up here.
const KEPT: isize = 10_000;
/// How many recipients are told at once.
const AT_ONCE: usize = 1_000;

/// A batch that is settled on chain.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SettledBatch {
    /// Its number, from one.
    pub batch: u64,
    /// The account on chain.
    pub address: String,
    /// When it was settled, in seconds since 1970.
    pub settled_at: i64,
    /// How many receipts it settles.
    pub receipts: u64,
    /// How many rewards it pays.
    pub rewards: u32,
    /// What the receipts charge.
    pub charged: Amount,
    /// What it pays.
    pub total: Amount,
    /// The root of the tree of its rewards, in hexadecimal.
    pub root: String,
    /// Its file in the bucket, which lists receipts and rewards.
    pub file: String,
    /// The SHA-256 hash of the file, in hexadecimal.
    pub file_hash: String,
}

/// What somebody was paid.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Paid {
    /// From which batch on this is known.
    pub since_batch: u64,
    /// The last batch that paid something.
    pub last_batch: u64,
    /// What that was.
    pub last_amount: Amount,
    /// All that was paid since.
    pub total: Amount,
}

impl Registry {
    /// The number of the last batch that was published; 0 if none was.
    pub async fn last_published(&self) -> Result<u64, RegistryError> {
        let last = self.settlements(None, 1).await?;
        Ok(last.first().map_or(0, |last| last.batch))
    }

    /// Publishes a settled batch and what it pays to whom. Batches are published in their order;
    /// whoever dies in between does it again, and nothing counts twice.
    pub async fn publish_settlement(
        &self,
        batch: &SettledBatch,
        paid: &[(WorkerId, Amount)],
    ) -> Result<(), RegistryError> {
        let failed = self.failed("publish a settled batch");
        for some in paid.chunks(AT_ONCE) {
            let mut call = PAID.prepare_invoke();
            call.key(self.key("settlements"))
                .arg(self.key("paid:"))
                .arg(batch.batch);
            for (recipient, amount) in some {
                call.arg(recipient.to_string()).arg(amount.0);
            }
            call.invoke_async::<u64>(&mut self.redis())
                .await
                .map_err(&failed)?;
        }
        let key = self.key("settlements");
        let json = serde_json::to_string(batch)?;
        redis::pipe()
            .atomic()
            .zrembyscore(&key, batch.batch, batch.batch)
            .zadd(&key, json, batch.batch)
            .zremrangebyrank(&key, 0, -KEPT - 1)
            .query_async(&mut self.redis())
            .await
            .map_err(&failed)
    }

    /// Settled batches, newest first, those before a number if one is given.
    pub async fn settlements(
        &self,
        before: Option<u64>,
        most: usize,
    ) -> Result<Vec<SettledBatch>, RegistryError> {
        let from = before.map_or_else(|| "+inf".to_owned(), |before| format!("({before}"));
        let found: Vec<String> = self
            .redis()
            .zrevrangebyscore_limit(
                self.key("settlements"),
                from,
                "-inf",
                0,
                isize::try_from(most).unwrap_or(isize::MAX),
            )
            .await
            .map_err(self.failed("list settled batches"))?;
        let read = found.iter().map(|json| serde_json::from_str(json));
        Ok(read.collect::<Result<_, _>>()?)
    }

    /// What somebody was paid, as far as is known here.
    pub async fn paid(&self, recipient: WorkerId) -> Result<Paid, RegistryError> {
        let fields: HashMap<String, u64> = self
            .redis()
            .hgetall(self.key(&format!("paid:{recipient}")))
            .await
            .map_err(self.failed("read what was paid"))?;
        let field = |name: &str| fields.get(name).copied().unwrap_or_default();
        Ok(Paid {
            since_batch: field("since_batch"),
            last_batch: field("last_batch"),
            last_amount: Amount(field("last_amount")),
            total: Amount(field("total")),
        })
    }
}
