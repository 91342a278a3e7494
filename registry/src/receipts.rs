//! Receipts: family `receipts`, a stream, with an index for each client.

use crate::{Registry, RegistryError, credit::script};
use redis::{AsyncCommands, Script, streams::StreamRangeReply};
use std::sync::LazyLock;
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

impl Registry {
    /// Records receipts of a router that are numbered without gaps, the first with `first`, and
    /// debits those who pay, from what the holder has of their credit. What was recorded before is
    /// not again. Returns the number of the last one recorded.
    pub async fn record_receipts(
        &self,
        router: WorkerId,
        holder: &str,
        first: u64,
        debits: &[Debit],
    ) -> Result<u64, RegistryError> {
        let mut call = RECORD.prepare_invoke();
        call.key(self.key("receipts"))
            .key(self.key("journals"))
            .arg(self.key(""))
            .arg(router.to_string())
            .arg(first)
            .arg(KEPT_FOR_EACH)
            .arg(holder);
        for debit in debits {
            call.arg(debit.client.as_str())
                .arg(debit.charged.0)
                .arg(&debit.receipt);
        }
        call.invoke_async(&mut self.redis())
            .await
            .map_err(self.failed("record receipts"))
    }

    /// The number of the last receipt of a router that is recorded; 0 if there is none.
    pub async fn last_receipt(&self, router: WorkerId) -> Result<u64, RegistryError> {
        let last: Option<u64> = self
            .redis()
            .hget(self.key("journals"), router.to_string())
            .await
            .map_err(self.failed("ask for the last receipt"))?;
        Ok(last.unwrap_or_default())
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
