//! Blocks from a JSON-RPC endpoint.

mod call;
mod client;

pub use call::CallError;
pub use client::RpcOptions;

use super::{Failure, Found, Source, SourceError, Unread};
use crate::{ReadError, decode};
use client::Client;
use futures::{
    FutureExt, StreamExt, TryFutureExt, TryStreamExt, future::BoxFuture, stream, stream::BoxStream,
};
use rand::RngCore;
use serde_json::json;
use std::sync::Arc;
use streamsync_core::Slot;
use streamsync_lake::SlotSet;

/// How many slots one `getBlocks` asks about.
const WINDOW: u64 = 10_000;

/// The codes with which nodes say that a slot has no block.
const SKIPPED: [i64; 2] = [-32007, -32009];

/// Which slots to get.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SlotRange {
    /// As many slots up to the newest finalised one.
    Last(u64),
    /// From the first to the last, both included.
    Between(Slot, Slot),
}

/// The finalised blocks that a Solana JSON-RPC endpoint has.
///
/// Slots that the endpoint leaves out between those it has blocks of count as skipped; they are
/// recorded as such once a later block proves it.
pub struct RpcSource {
    client: Arc<Client>,
    range: SlotRange,
    concurrency: usize,
}

impl RpcSource {
    /// Blocks of a range of slots. The randomness spreads out retries.
    pub fn new(
        options: RpcOptions,
        range: SlotRange,
        randomness: impl RngCore + Send + 'static,
    ) -> Result<Self, SourceError> {
        if let SlotRange::Between(first, last) = range
            && first > last
        {
            return Err(SourceError::Range { first, last });
        }
        Ok(Self {
            range,
            concurrency: options.concurrency.max(1),
            client: Arc::new(Client::new(options, Box::new(randomness))?),
        })
    }
}

impl Source for RpcSource {
    fn describe(&self) -> String {
        let origin = self.client.origin();
        match self.range {
            SlotRange::Last(slots) => format!("the last {slots} slots of {origin}"),
            SlotRange::Between(first, last) => format!("slots {first} to {last} of {origin}"),
        }
    }

    fn read(self, covered: Arc<SlotSet>) -> BoxStream<'static, Result<Found, SourceError>> {
        let Self {
            client,
            range,
            concurrency,
        } = self;
        let begin = bounds(client.clone(), range);
        let found = begin.map_ok(move |bounds| {
            let windows = stream::iter(bounds.windows());
            let fetching = client.clone();
            let blocks = windows
                .then(move |(first, last)| window(client.clone(), first, last))
                .map_ok(|found| stream::iter(found.into_iter().map(Ok)))
                .try_flatten()
                .map(move |listed| match listed {
                    Ok(Listed::Block(slot)) if covered.contains(slot) => {
                        ready(Found::Covered(slot))
                    }
                    Ok(Listed::Block(slot)) => fetch(fetching.clone(), slot),
                    Ok(Listed::Skipped(first, last)) => ready(Found::Skipped(first, last)),
                    Err(error) => futures::future::ready(Err(error)).boxed(),
                })
                .buffered(concurrency);
            let opening = bounds.opening();
            stream::iter(opening.map(Ok)).chain(blocks)
        });
        // After an error there is nothing more to be had.
        found.try_flatten_stream().scan(false, ended).fuse().boxed()
    }
}

/// Ends a stream after its first error.
fn ended(
    over: &mut bool,
    found: Result<Found, SourceError>,
) -> futures::future::Ready<Option<Result<Found, SourceError>>> {
    let next = (!*over).then_some(found);
    *over |= matches!(next, Some(Err(_)));
    futures::future::ready(next)
}

fn ready(found: Found) -> BoxFuture<'static, Result<Found, SourceError>> {
    futures::future::ready(Ok(found)).boxed()
}

/// The slots to get, and those that the endpoint no longer has.
struct Bounds {
    origin: String,
    first: u64,
    last: u64,
    /// The lowest slot that the endpoint has.
    available: u64,
}

impl Bounds {
    /// What there is to say before the first block.
    fn opening(&self) -> impl Iterator<Item = Found> + use<> {
        let expected = Found::Expected(self.last.saturating_sub(self.first).saturating_add(1));
        let gone = (self.first < self.available).then(|| {
            let last = self.last.min(self.available - 1);
            Found::Failed(Failure {
                slots: Some((Slot(self.first), Slot(last))),
                origin: self.origin.clone(),
                cause: format!(
                    "the endpoint no longer has them, its first block is of slot {}: ask one that \
                     keeps history, or read block files",
                    self.available
                ),
            })
        });
        std::iter::once(expected).chain(gone)
    }

    fn windows(&self) -> impl Iterator<Item = (u64, u64)> + Send + use<> {
        let (first, last) = (self.first.max(self.available), self.last);
        let mut next = (first <= last).then_some(first);
        std::iter::from_fn(move || {
            let begin = next?;
            let end = last.min(begin.saturating_add(WINDOW - 1));
            next = (end < last).then_some(end.saturating_add(1));
            Some((begin, end))
        })
    }
}

async fn bounds(client: Arc<Client>, range: SlotRange) -> Result<Bounds, SourceError> {
    let (first, last) = match range {
        SlotRange::Between(first, last) => (first.0, last.0),
        SlotRange::Last(slots) => {
            let finalized = json!([{"commitment": "finalized"}]);
            let newest: u64 = client.call("getSlot", finalized).await?;
            (newest.saturating_sub(slots.saturating_sub(1)), newest)
        }
    };
    let available = match client.call("getFirstAvailableBlock", json!([])).await {
        Ok(available) => available,
        // Some endpoints do not offer it.
        Err(CallError::Refused { .. }) => 0,
        Err(error) => return Err(error.into()),
    };
    Ok(Bounds {
        origin: client.origin().to_owned(),
        first,
        last,
        available,
    })
}

/// What the endpoint lists.
enum Listed {
    Block(Slot),
    Skipped(Slot, Slot),
}

/// The slots of a window, with and without blocks.
async fn window(client: Arc<Client>, first: u64, last: u64) -> Result<Vec<Listed>, SourceError> {
    let params = json!([first, last, {"commitment": "finalized"}]);
    let mut slots: Vec<u64> = client.call("getBlocks", params).await?;
    slots.retain(|slot| (first..=last).contains(slot));
    slots.sort_unstable();
    slots.dedup();
    let mut listed = Vec::with_capacity(slots.len());
    let mut next = first;
    for slot in slots {
        if next < slot {
            listed.push(Listed::Skipped(Slot(next), Slot(slot - 1)));
        }
        listed.push(Listed::Block(Slot(slot)));
        next = slot.saturating_add(1);
    }
    if next <= last {
        listed.push(Listed::Skipped(Slot(next), Slot(last)));
    }
    Ok(listed)
}

fn fetch(client: Arc<Client>, slot: Slot) -> BoxFuture<'static, Result<Found, SourceError>> {
    async move {
        let config = json!({
            "encoding": "base64",
            "maxSupportedTransactionVersion": 0,
            "transactionDetails": "full",
            "rewards": true,
            "commitment": "finalized",
        });
        let origin = client.origin().to_owned();
        match client.raw("getBlock", json!([slot.0, config])).await {
            Ok(answer) => Ok(Found::Block(Unread {
                slot: Some(slot),
                origin,
                read: Box::new(move || decode(&answer, Some(slot)).map_err(ReadError::from)),
            })),
            Err(CallError::Refused { code, .. }) if SKIPPED.contains(&code) => {
                Ok(Found::Skipped(slot, slot))
            }
            Err(error) if error.ends_all() => Err(error.into()),
            Err(error) => Ok(Found::Failed(Failure::new(Some(slot), origin, &error))),
        }
    }
    .boxed()
}
