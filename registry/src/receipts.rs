//! Receipts: family `receipts`, a stream, with an index for each client.

use crate::{Registry, RegistryError, credit::script};
use redis::{AsyncCommands, Script, streams::StreamRangeReply};
use std::{
    collections::{BTreeMap, HashMap},
    sync::LazyLock,
};
use streamsync_core::{Amount, ClientId, WorkerId};

static RECORD: LazyLock<Script> = script!("record_receipts.lua");

/// How many receipts of each client can be looked up here.
const KEPT_FOR_EACH: usize = 10_000;

/// A receipt to be recorded, and what it takes from whom.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Debit {
    /// Who pays.
    pub client: ClientId,
    /// How much.
    pub charged: Amount,
    /// The signed receipt as JSON.
    pub receipt: String,
}

/// A recorded receipt.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FiledReceipt {
    /// Its place: `milliseconds-number`, ascending.
    pub id: String,
    /// The signed receipt as JSON.
    pub receipt: String,
}

/// How far the receipts of a router are: the numbers of the last ones, 0 if there is none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ReceiptProgress {
    /// The last that is recorded.
    pub recorded: u64,
    /// The last that is settled.
    pub settled: u64,
    /// The last that a backup which was put back has charged for.
    pub charged: u64,
}

impl Registry {
    /// Records receipts of a router that are numbered without gaps, the first with `first`, and
    /// debits those who pay, from what the holder has of their credit. What was recorded before is
    /// not again. Returns the number of the last one recorded: one before `first` if Redis has lost
    /// some from `oldest` on, the oldest that the router still has; then it is to begin after that.
    pub async fn record_receipts(
        &self,
        router: WorkerId,
        holder: &str,
        oldest: u64,
        first: u64,
        debits: &[Debit],
    ) -> Result<u64, RegistryError> {
        let mut call = RECORD.prepare_invoke();
        call.key(self.key("receipts"))
            .key(self.key("journals"))
            .key(self.key("clients"))
            .key(self.key("charged"))
            .arg(self.key(""))
            .arg(router.to_string())
            .arg(first)
            .arg(KEPT_FOR_EACH)
            .arg(holder)
            .arg(oldest);
        for debit in debits {
            call.arg(debit.client.as_str())
                .arg(debit.charged.0)
                .arg(&debit.receipt);
        }
        call.invoke_async(&mut self.redis())
            .await
            .map_err(self.failed("record receipts"))
    }

    /// How far the receipts of a router are, as far as is known here.
    pub async fn receipt_progress(
        &self,
        router: WorkerId,
    ) -> Result<ReceiptProgress, RegistryError> {
        let router = router.to_string();
        type Numbers = (Option<u64>, Option<u64>, Option<u64>);
        let (recorded, settled, charged): Numbers = redis::pipe()
            .hget(self.key("journals"), &router)
            .hget(self.key("settled"), &router)
            .hget(self.key("charged"), &router)
            .query_async(&mut self.redis())
            .await
            .map_err(self.failed("ask how far receipts are recorded"))?;
        Ok(ReceiptProgress {
            recorded: recorded.unwrap_or_default(),
            settled: settled.unwrap_or_default(),
            charged: charged.unwrap_or_default(),
        })
    }

    /// Notes up to which number the receipts of routers are settled, so that the routers need not
    /// keep them any longer. Numbers only grow.
    pub async fn note_settled(
        &self,
        settled: &BTreeMap<WorkerId, u64>,
    ) -> Result<(), RegistryError> {
        static NOTE: LazyLock<Script> = LazyLock::new(|| {
            Script::new(
                "for place = 1, #ARGV, 2 do \
                 local known = tonumber(redis.call('HGET', KEYS[1], ARGV[place]) or '0') \
                 if tonumber(ARGV[place + 1]) > known then \
                 redis.call('HSET', KEYS[1], ARGV[place], ARGV[place + 1]) end end return 0",
            )
        });
        let mut call = NOTE.prepare_invoke();
        call.key(self.key("settled"));
        for (router, number) in settled {
            call.arg(router.to_string()).arg(number);
        }
        call.invoke_async(&mut self.redis())
            .await
            .map_err(self.failed("note what is settled"))
    }

    /// The receipts of a client after a place, or from the oldest that is still here.
    pub async fn receipts_of(
        &self,
        client: &ClientId,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<FiledReceipt>, RegistryError> {
        let failed = self.failed("read receipts");
        let mut redis = self.redis();
        let places = range(&self.key(&format!("receipts:{client}")), after, most);
        let places: StreamRangeReply = places.query_async(&mut redis).await.map_err(&failed)?;
        if places.ids.is_empty() {
            return Ok(Vec::new());
        }
        let mut commands = redis::pipe();
        for place in &places.ids {
            commands.xrange(self.key("receipts"), &place.id, &place.id);
        }
        let found: Vec<StreamRangeReply> =
            commands.query_async(&mut redis).await.map_err(&failed)?;
        Ok(found.into_iter().flat_map(filed).collect())
    }

    /// The receipts of all clients after a place, or from the oldest that is still here.
    pub async fn receipts(
        &self,
        after: Option<&str>,
        most: usize,
    ) -> Result<Vec<FiledReceipt>, RegistryError> {
        let entries = range(&self.key("receipts"), after, most);
        let entries = entries.query_async(&mut self.redis()).await;
        Ok(filed(entries.map_err(self.failed("read receipts"))?))
    }

    /// The receipts of all clients before a place, or from the newest, newest first.
    pub async fn newest_receipts(
        &self,
        before: Option<&str>,
        most: usize,
    ) -> Result<Vec<FiledReceipt>, RegistryError> {
        let from = before.map_or_else(|| "+".to_owned(), |before| format!("({before}"));
        let entries = redis::cmd("XREVRANGE")
            .arg(self.key("receipts"))
            .arg(from)
            .arg("-")
            .arg("COUNT")
            .arg(most)
            .query_async(&mut self.redis())
            .await;
        Ok(filed(entries.map_err(self.failed("read receipts"))?))
    }

    /// Up to which number the receipts of each router are settled, as far as is known here.
    pub async fn settled(&self) -> Result<BTreeMap<WorkerId, u64>, RegistryError> {
        let settled: HashMap<String, u64> = self
            .redis()
            .hgetall(self.key("settled"))
            .await
            .map_err(self.failed("ask what is settled"))?;
        let routers = settled.into_iter();
        Ok(routers
            .filter_map(|(router, number)| Some((router.parse().ok()?, number)))
            .collect())
    }

    /// Forgets receipts of all clients, by their places.
    pub async fn forget_receipts(&self, ids: &[String]) -> Result<(), RegistryError> {
        if ids.is_empty() {
            return Ok(());
        }
        let deleted = self.redis().xdel(self.key("receipts"), ids).await;
        let _count: u64 = deleted.map_err(self.failed("forget settled receipts"))?;
        Ok(())
    }
}

fn range(stream: &str, after: Option<&str>, most: usize) -> redis::Cmd {
    let from = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
    let mut range = redis::cmd("XRANGE");
    range.arg(stream).arg(from).arg("+").arg("COUNT").arg(most);
    range
}

fn filed(entries: StreamRangeReply) -> Vec<FiledReceipt> {
    let receipts = entries.ids.into_iter().filter_map(|entry| {
        let receipt = entry.get::<String>("receipt")?;
        Some(FiledReceipt {
            id: entry.id,
            receipt,
        })
    });
    receipts.collect()
}
