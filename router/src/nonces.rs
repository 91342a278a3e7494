//! That no signed request is taken twice, by any router.

use std::{
    collections::HashSet,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, PoisonError},
    time::Duration,
};
use streamsync_access::WINDOW_S;
use streamsync_core::{KeyId, clock::SharedClock};
use streamsync_registry::Registry;
use tokio::{
    sync::{mpsc, oneshot},
    time::Instant,
};

/// For how long a nonce is remembered: as long as a signature can hold, before and after its moment.
const REMEMBERED: Duration = Duration::from_secs(2 * WINDOW_S + 1);
/// How long a query may be held up by a Redis that does not answer, and for how long it is not asked
/// after that.
const PATIENCE: Duration = Duration::from_millis(300);
const ASK_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How many nonces are claimed together.
const BATCH: usize = 256;
/// How many wait to be claimed; more are of a router that has far more before it than it can answer.
const QUEUED: usize = 65_536;

/// The nonces that were used.
pub(crate) struct Nonces {
    /// Those that this router has seen, as hashes, in two generations.
    seen: Mutex<Seen>,
    hasher: RandomState,
    clock: SharedClock,
    claims: mpsc::Sender<Claim>,
}

#[derive(Default)]
struct Seen {
    young: HashSet<u64>,
    old: HashSet<u64>,
    turned_at: Duration,
}

struct Claim {
    nonce: String,
    answer: oneshot::Sender<bool>,
}

/// The answer whether a nonce was new, which comes while the query runs.
pub(crate) struct Claimed(Option<oneshot::Receiver<bool>>);

/// The request was taken before.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("a request with this nonce was taken before; sign each request anew")]
pub struct Replayed;

impl Claimed {
    /// Without a signature there is nothing to claim.
    pub(crate) fn needless() -> Self {
        Self(None)
    }

    /// Waits for the answer.
    pub(crate) async fn prove_new(self) -> Result<(), Replayed> {
        match self.0 {
            None => Ok(()),
            // Who claims has ended only if the router has; until then it was new here.
            Some(answer) => match answer.await {
                Ok(false) => Err(Replayed),
                _ => Ok(()),
            },
        }
    }
}

impl Nonces {
    /// The nonces, and who asks Redis about them until they are dropped.
    pub(crate) fn new(clock: SharedClock, registry: Registry) -> Self {
        let (claims, claimed) = mpsc::channel(QUEUED);
        tokio::spawn(claim(claimed, registry));
        Self {
            seen: Mutex::default(),
            hasher: RandomState::new(),
            clock,
            claims,
        }
    }

    /// Claims a nonce of a key. What this router saw is refused at once.
    pub(crate) fn claim(&self, key: &KeyId, nonce: &str) -> Result<Claimed, Replayed> {
        let nonce = format!("{key}:{nonce}");
        let hash = self.hasher.hash_one(&nonce);
        {
            let now = self.clock.monotonic();
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if now.saturating_sub(seen.turned_at) >= REMEMBERED {
                seen.old = std::mem::take(&mut seen.young);
                seen.turned_at = now;
            }
            if seen.old.contains(&hash) || !seen.young.insert(hash) {
                return Err(Replayed);
            }
        }
        let (answer, claimed) = oneshot::channel();
        if self.claims.try_send(Claim { nonce, answer }).is_err() {
            return Ok(Claimed(None));
        }
        Ok(Claimed(Some(claimed)))
    }
}

/// Asks Redis about nonces, as many together as have come meanwhile. While it is away, those that
/// this router has not seen count as new: a replay through another router is then not noticed.
async fn claim(mut claims: mpsc::Receiver<Claim>, registry: Registry) {
    let mut batch = Vec::new();
    let mut away_until = Instant::now();
    while claims.recv_many(&mut batch, BATCH).await > 0 {
        let (nonces, answers): (Vec<String>, Vec<_>) = batch
            .drain(..)
            .map(|claim| (claim.nonce, claim.answer))
            .unzip();
        let asked = async {
            if Instant::now() < away_until {
                return None;
            }
            let claiming = registry.claim_nonces(&nonces, REMEMBERED);
            tokio::time::timeout(PATIENCE, claiming).await.ok()?.ok()
        };
        match asked.await {
            Some(free) => {
                for (answer, free) in answers.into_iter().zip(free) {
                    // Who asked may have hung up.
                    let _ = answer.send(free);
                }
            }
            None => {
                if Instant::now() >= away_until {
                    away_until = Instant::now() + ASK_AGAIN_AFTER;
                }
                metrics::counter!("streamsync_router_unchecked_nonces_total")
                    .increment(nonces.len() as u64);
                for answer in answers {
                    let _ = answer.send(true);
                }
            }
        }
    }
}
