//! What the router has to tell the registry, on its way there.

use crate::spool::{Spool, SpoolError};
use rand::Rng;
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, VecDeque},
    error::Error,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use streamsync_core::{WorkerId, config::RaceConfig};
use streamsync_registry::{Audit, Evidence, Observed, Registry, RegistryError};
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// How often what was seen of workers is told.
const TELL_EVERY: Duration = Duration::from_secs(1);
/// How many messages wait to be kept at the most. More come only while the disk hangs.
const QUEUED: usize = 10_000;
/// How many messages are kept together.
const BATCH: usize = 256;
/// How long is waited after Redis did not answer; twice as long each further time.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// How long the last messages may take when the router stops.
const FAREWELL: Duration = Duration::from_secs(3);

/// Something to tell the registry. Telling it twice is telling it once.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Message {
    /// What was seen of workers.
    Observed {
        /// By which a repetition is recognised.
        report: Uuid,
        /// Worker by worker.
        workers: BTreeMap<WorkerId, Observed>,
    },
    /// Evidence against workers.
    Evidence(Box<Evidence>),
    /// What came of an answer that was given at once.
    Audit(Audit),
}

/// Takes what the registry has to be told. Cheap to clone; never waits.
#[derive(Clone)]
pub(crate) struct Outbox {
    observed: Arc<Mutex<BTreeMap<WorkerId, Observed>>>,
    messages: mpsc::Sender<Message>,
}

/// The other end of an [`Outbox`].
pub(crate) struct Outgoing {
    observed: Arc<Mutex<BTreeMap<WorkerId, Observed>>>,
    messages: mpsc::Receiver<Message>,
}

impl Outbox {
    pub(crate) fn new() -> (Self, Outgoing) {
        let (sender, receiver) = mpsc::channel(QUEUED);
        let observed = Arc::default();
        let outbox = Self {
            observed: Arc::clone(&observed),
            messages: sender,
        };
        let outgoing = Outgoing {
            observed,
            messages: receiver,
        };
        (outbox, outgoing)
    }

    /// Adds what was seen of workers.
    pub(crate) fn observe(&self, seen: BTreeMap<WorkerId, Observed>) {
        let mut observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        for (worker, seen) in seen {
            *observed.entry(worker).or_default() += seen;
        }
    }

    /// Sends a message.
    pub(crate) fn send(&self, message: Message) {
        if self.messages.try_send(message).is_err() {
            metrics::counter!("streamsync_router_spool_dropped_total").increment(1);
            tracing::error!("the spool cannot keep up; a message to the registry is lost");
        }
    }
}

impl Outgoing {
    /// Passes messages on until told to stop. Each is kept in the spool before it is told, and
    /// until it was.
    pub(crate) async fn pass_on(
        mut self,
        stop: CancellationToken,
        registry: Registry,
        mut spool: Spool,
        config: RaceConfig,
    ) {
        let mut batch = Vec::with_capacity(BATCH);
        let mut turns = tokio::time::interval(TELL_EVERY);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut wait = FIRST_WAIT;
        let mut told = true;
        // A moment and not a time to wait: what comes in meanwhile must not put it off.
        let mut next_try = Instant::now();
        loop {
            let has_any = !spool.is_empty();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                received = self.messages.recv_many(&mut batch, BATCH) => {
                    if received == 0 {
                        break;
                    }
                }
                _ = turns.tick() => batch.extend(self.seen()),
                () = tokio::time::sleep_until(next_try), if has_any => {
                    match tell_first(&registry, &mut spool, &config).await {
                        Ok(()) => {
                            if !told {
                                tracing::info!("the registry is told again what happens");
                            }
                            told = true;
                            wait = FIRST_WAIT;
                        }
                        Err(error) => {
                            if told {
                                let error = &error as &dyn Error;
                                tracing::warn!(error, "could not tell the registry; it is kept until then");
                            }
                            metrics::counter!("streamsync_router_tell_failures_total").increment(1);
                            told = false;
                            next_try = Instant::now() + jittered(wait);
                            wait = (wait * 2).min(LONGEST_WAIT);
                        }
                    }
                }
            }
            keep(&mut spool, &mut batch).await;
        }
        batch.extend(self.seen());
        while let Ok(message) = self.messages.try_recv() {
            batch.push(message);
        }
        keep(&mut spool, &mut batch).await;
        let rest = async {
            while !spool.is_empty() {
                if tell_first(&registry, &mut spool, &config).await.is_err() {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(FAREWELL, rest).await;
    }

    fn seen(&self) -> Option<Message> {
        let mut observed = self.observed.lock().unwrap_or_else(PoisonError::into_inner);
        let workers = std::mem::take(&mut *observed);
        #[allow(clippy::disallowed_methods)]
        let report = uuid::Builder::from_random_bytes(rand::rng().random()).into_uuid();
        (!workers.is_empty()).then_some(Message::Observed { report, workers })
    }
}

async fn keep(spool: &mut Spool, batch: &mut Vec<Message>) {
    if batch.is_empty() {
        return;
    }
    let messages: VecDeque<Message> = batch.drain(..).collect();
    if let Err(error) = spool.keep(messages.into()).await {
        let error = &error as &dyn Error;
        tracing::error!(error, "could not keep messages to the registry on disk");
    }
    metrics::gauge!("streamsync_router_spool_bytes").set(spool.bytes() as f64);
}

/// Why the oldest messages could not be told.
#[derive(Debug, thiserror::Error)]
enum TellError {
    #[error("could not read the spool")]
    Spool(#[from] SpoolError),
    #[error("the registry did not take a message")]
    Registry(#[from] RegistryError),
}

/// Tells the registry the oldest messages that are kept, and forgets them.
async fn tell_first(
    registry: &Registry,
    spool: &mut Spool,
    config: &RaceConfig,
) -> Result<(), TellError> {
    let half_life = Duration::from_secs(config.reputation_half_life_s);
    let exclusion = Duration::from_secs(config.exclusion_s);
    for message in spool.first().await?.iter() {
        match message {
            Message::Observed { report, workers } => {
                registry.observe(*report, workers, half_life).await?;
            }
            Message::Evidence(evidence) => {
                registry.convict(evidence, exclusion).await?;
            }
            Message::Audit(audit) => registry.keep_audit(audit).await?,
        }
    }
    spool.forget_first().await?;
    metrics::gauge!("streamsync_router_spool_bytes").set(spool.bytes() as f64);
    Ok(())
}

/// A little less than a wait, so that not all routers come again together.
#[allow(clippy::disallowed_methods)]
pub(crate) fn jittered(wait: Duration) -> Duration {
    wait.mul_f64(rand::rng().random_range(0.5..1.0))
}
