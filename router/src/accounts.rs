//! Everything about who asks and what he pays: keys, limits, credit and receipts.

use crate::{
    callers::{Callers, Named},
    credit::{Credit, Reserved},
    journal::{Journal, JournalError, Limits},
    limits,
    outbox::jittered,
};
use std::{error::Error, sync::Arc, time::Duration};
use streamsync_access::{MasterFileError, MasterSecrets};
use streamsync_core::{
    Amount, Class, Digest, Promise, QueryId, Receipt, SignedReceipt, Snapshot, Split, WorkerId,
    clock::SharedClock, config::Config,
};
use streamsync_registry::Registry;
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How long is waited after Redis did not take receipts; twice as long each further time.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// For how long receipts are gathered before they are told.
const GATHER: Duration = Duration::from_millis(20);
/// How often it is looked whether a file of receipts is to be closed.
const CLOSE_EVERY: Duration = Duration::from_secs(1);
/// How often the other routers are counted.
const COUNT_EVERY: Duration = Duration::from_secs(1);
/// How long the last receipts may take when the router stops.
const FAREWELL: Duration = Duration::from_secs(3);

/// Why a router cannot ask who its clients are.
#[derive(Debug, thiserror::Error)]
pub enum AccountsError {
    /// There is nothing to check signatures with.
    #[error(
        "auth.master_secrets is not set: run `streamsync keys init --master FILE` and start with \
         --master-secrets FILE; on a loopback address, --insecure-no-auth lets everyone do everything"
    )]
    NoMaster,
    /// The master secrets cannot be used.
    #[error(transparent)]
    Master(#[from] MasterFileError),
    /// There is nowhere to keep receipts.
    #[error(
        "router.spool_folder is not set: receipts are kept there until Redis has them; start with --spool FOLDER"
    )]
    NoFolder,
    /// Receipts cannot be kept.
    #[error("could not open the journal of receipts")]
    Journal(#[from] JournalError),
}

/// Keys, limits, credit and receipts. Cheap to clone.
#[derive(Clone)]
pub struct Accounts {
    callers: Callers,
    credit: Credit,
    journal: Arc<Journal>,
    registry: Registry,
    clock: SharedClock,
}

/// An answer that is about to be given.
pub(crate) struct Answer<'a> {
    pub(crate) query: QueryId,
    pub(crate) class: Class,
    pub(crate) snapshot: &'a Snapshot,
    pub(crate) digest: Digest,
    pub(crate) rows: u64,
    pub(crate) price: Amount,
    pub(crate) promise: Promise,
    pub(crate) took: Duration,
    pub(crate) winner: WorkerId,
    pub(crate) verifiers: &'a [WorkerId],
    pub(crate) dissenters: &'a [WorkerId],
}

impl Accounts {
    /// Opens the accounts of a router: its master secrets, and the folder where it keeps receipts
    /// until Redis has them. The folder must be no other process's.
    pub fn open(
        config: &Config,
        registry: Registry,
        clock: SharedClock,
    ) -> Result<Self, AccountsError> {
        let masters = config
            .auth
            .master_secrets
            .as_deref()
            .ok_or(AccountsError::NoMaster)?;
        let masters = MasterSecrets::read(masters)?;
        let folder = config
            .router
            .spool_folder
            .as_deref()
            .ok_or(AccountsError::NoFolder)?;
        let limits = Limits {
            waiting: config.router.spool_bytes,
            recorded: config.router.receipt_bytes,
        };
        let journal = Journal::open(folder, limits, Arc::clone(&clock))?;
        let credit = Credit::new(
            config.credit.clone(),
            registry.clone(),
            journal.holder(),
            Arc::clone(&clock),
        );
        Ok(Self {
            callers: Callers::new(masters, registry.clone(), Arc::clone(&clock)),
            credit,
            journal: Arc::new(journal),
            registry,
            clock,
        })
    }

    /// The name under which this router signs receipts.
    pub fn router(&self) -> WorkerId {
        self.journal.router()
    }

    pub(crate) fn callers(&self) -> &Callers {
        &self.callers
    }

    pub(crate) fn credit(&self) -> &Credit {
        &self.credit
    }

    /// Charges for an answer, and keeps the receipt. When this returns, the answer may be given.
    pub(crate) fn charge(
        &self,
        named: &Named,
        answer: Answer<'_>,
        reserved: Reserved,
    ) -> Result<SignedReceipt, JournalError> {
        let charged = match answer.promise {
            Promise::Broken => Amount::ZERO,
            Promise::None | Promise::Kept => answer.price,
        };
        let signed = self.journal.write(Receipt {
            router: self.router(),
            number: 0,
            at_ms: self.clock.unix_millis(),
            query: answer.query,
            client: named.client.clone(),
            key: named.key.clone(),
            class: answer.class,
            snapshot: answer.snapshot.clone(),
            digest: answer.digest,
            rows: answer.rows,
            price: answer.price,
            charged,
            promise: answer.promise,
            latency_us: u64::try_from(answer.took.as_micros()).unwrap_or(u64::MAX),
            winner: answer.winner,
            verifiers: answer.verifiers.to_vec(),
            dissenters: answer.dissenters.to_vec(),
            split: Split::new(charged, answer.verifiers.len()),
        })?;
        reserved.spend(charged);
        Ok(signed)
    }

    /// Tells Redis of receipts and of what keys use, and keeps leases of credit, until told to stop.
    /// Then it tells the last receipts and gives credit back.
    pub(crate) async fn keep(&self, stop: &CancellationToken) {
        tokio::join!(
            self.keep_receipts(stop),
            self.keep_files(stop),
            self.keep_credit(stop),
            self.keep_usage(stop)
        );
        let farewell = async {
            if self.journal.tell(&self.registry).await.is_ok() {
                // Only now: what is spent and not told would be given back with the rest.
                let _ = self.credit.end().await;
            }
            let _ = self.journal.forget(&self.registry).await;
        };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
        let left = self.journal.waiting();
        if left > 0 {
            tracing::warn!(
                left,
                "receipts stay in the spool until the router runs again"
            );
        }
    }

    async fn keep_receipts(&self, stop: &CancellationToken) {
        let mut wait = FIRST_WAIT;
        let mut told = true;
        let telling = async {
            loop {
                self.journal.has_more().await;
                // Those that come soon after go with it.
                tokio::time::sleep(GATHER).await;
                let telling = async {
                    self.journal.tell(&self.registry).await?;
                    self.journal.forget(&self.registry).await
                };
                let telling = telling.await;
                metrics::gauge!("streamsync_router_receipts_waiting")
                    .set(self.journal.waiting() as f64);
                match telling {
                    Ok(()) => {
                        if !told {
                            tracing::info!("receipts are recorded again");
                        }
                        told = true;
                        wait = FIRST_WAIT;
                    }
                    Err(error) => {
                        if told {
                            let error = &error as &dyn Error;
                            tracing::warn!(
                                error,
                                "could not record receipts; they are kept until then"
                            );
                        }
                        told = false;
                        tokio::time::sleep(jittered(wait)).await;
                        wait = (wait * 2).min(LONGEST_WAIT);
                    }
                }
            }
        };
        tokio::select! {
            () = stop.cancelled() => {}
            () = telling => {}
        }
    }

    /// Apart from telling, which may wait for Redis: files are synced all the same.
    async fn keep_files(&self, stop: &CancellationToken) {
        let mut turns = Turns::new(CLOSE_EVERY, "could not sync a file of receipts");
        while turns.next(stop).await {
            turns.note(self.journal.close().await);
        }
    }

    async fn keep_credit(&self, stop: &CancellationToken) {
        let period = self.credit.keep_every();
        let mut turns = Turns::new(period, "could not keep leases of credit");
        while turns.next(stop).await {
            turns.note(self.credit.keep().await);
        }
    }

    async fn keep_usage(&self, stop: &CancellationToken) {
        let usage = self.callers.usage();
        let router = self.router();
        let telling = async {
            let mut turns = Turns::new(limits::TELL_EVERY, "could not add up the usage of keys");
            while turns.next(stop).await {
                turns.note(usage.tell(&self.registry, router).await);
            }
        };
        let counting = async {
            let mut turns = Turns::new(COUNT_EVERY, "could not count the routers");
            while turns.next(stop).await {
                let there = self.registry.router_is_there(router).await;
                turns.note(there.map(|routers| usage.set_routers(routers)));
            }
        };
        tokio::join!(telling, counting);
    }
}

/// Turns at which something is done. That it fails is said once in a row.
struct Turns {
    ticks: Interval,
    failure: &'static str,
    well: bool,
}

impl Turns {
    fn new(period: Duration, failure: &'static str) -> Self {
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            ticks,
            failure,
            well: true,
        }
    }

    /// Waits for the next turn. False when it is time to stop.
    async fn next(&mut self, stop: &CancellationToken) -> bool {
        tokio::select! {
            () = stop.cancelled() => false,
            _ = self.ticks.tick() => true,
        }
    }

    fn note<E: Error + 'static>(&mut self, done: Result<(), E>) {
        if let Err(error) = &done
            && self.well
        {
            tracing::warn!(error = error as &dyn Error, "{}", self.failure);
        }
        self.well = done.is_ok();
    }
}
