//! The service: from receipts in Redis to claimed rewards.

use crate::{
    ArchiveError, Batch, BatchError, Chain, ChainError, ClaimReport, CollectError, Rpc, Silent,
    Step, Steps,
    aggregate::Parts,
    archive::Tables,
    chain::check,
    collect::{collect, genuine_place},
    wallet::Wallet,
};
use rand::Rng;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use streamsync_core::{
    Amount, WorkerId, clock::SharedClock, config::SettlementConfig, settlement_file, with_causes,
};
use streamsync_lake::{Lake, ObjectError};
use streamsync_registry::{Registry, RegistryError, SettledBatch};
use strm::state::{self, Network};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// The lease of the one who settles.
const JOB: &str = "settlement";
/// How the network divides payments, in hundredths of a percent, as receipts do.
const SHARES: [u16; 4] = [5_000, 2_000, 2_000, 1_000];
/// How many entries are looked at and forgotten in Redis at once.
const AT_ONCE: usize = 1_000;

/// Every so many times all receipts in Redis are looked at.
const CURSOR_USES: u32 = 12;
/// How long it waits after a failure, at first; then twice as long each time.
const FIRST_RETRY: Duration = Duration::from_secs(2);

/// Settles receipts. Any number of them may run: one at a time works, and if two do, one batch of
/// each number is written, and the chain takes it once.
pub struct Settler {
    wallet: Wallet,
    lake: Lake,
    registry: Registry,
    config: SettlementConfig,
    clock: SharedClock,
    holder: Uuid,
    steps: Arc<dyn Steps>,
    cursor: Mutex<Cursor>,
}

/// Where collecting begins, so that settled receipts that stay in Redis are not read each time.
#[derive(Default)]
struct Cursor {
    settled_up_to: Option<String>,
    used: u32,
}

/// What was done.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Somebody else is settling.
    Busy,
    /// There is nothing to pay.
    Idle {
        /// What was claimed of earlier batches.
        claims: ClaimReport,
    },
    /// A batch was settled, or had been settled without being archived.
    Settled {
        /// The batch.
        batch: u64,
        /// Its receipts.
        receipts: u64,
        /// Its rewards.
        rewards: u64,
        /// What it pays.
        total: Amount,
        /// What was claimed of it and of earlier batches.
        claims: ClaimReport,
    },
}

/// Why nothing was settled, or not everything that follows was done. The next attempt goes on where
/// this one stopped.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// Redis does not answer.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Something is wrong with the chain, or it does not answer.
    #[error(transparent)]
    Chain(#[from] Box<ChainError>),
    /// Receipts could not be collected.
    #[error(transparent)]
    Collect(#[from] CollectError),
    /// The batch could not be made or read.
    #[error(transparent)]
    Batch(#[from] Box<BatchError>),
    /// The bucket failed.
    #[error(transparent)]
    Bucket(#[from] ObjectError),
    /// The lake failed.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The file of a settled batch is gone.
    #[error(
        "batch {number} is settled, and its file {name} is not in the bucket: settlement.network and \
         the bucket do not belong together, or somebody has deleted it"
    )]
    Gone {
        /// The batch.
        number: u64,
        /// Its file.
        name: String,
    },
    /// The chain divides payments otherwise than receipts do.
    #[error(
        "the network divides payments {found:?} (in hundredths of a percent), and receipts {SHARES:?}"
    )]
    Shares {
        /// The shares on the chain.
        found: [u16; 4],
    },
}

impl From<ChainError> for SettleError {
    fn from(error: ChainError) -> Self {
        Self::Chain(Box::new(error))
    }
}

impl From<BatchError> for SettleError {
    fn from(error: BatchError) -> Self {
        Self::Batch(Box::new(error))
    }
}

impl Settler {
    /// A settler of a network.
    ///
    /// # Errors
    ///
    /// A node that does not answer, and an address without a network.
    pub async fn open(
        rpc: Arc<dyn Rpc>,
        network: Pubkey,
        payer: Keypair,
        (lake, registry): (Lake, Registry),
        config: SettlementConfig,
        (clock, holder): (SharedClock, Uuid),
    ) -> Result<Self, ChainError> {
        Ok(Self {
            wallet: Wallet::new(Chain::open(rpc, network).await?, payer, &config),
            lake,
            registry,
            config,
            clock,
            holder,
            steps: Arc::new(Silent),
            cursor: Mutex::default(),
        })
    }

    /// Tells somebody of each step before it is made.
    pub fn told(mut self, steps: Arc<dyn Steps>) -> Self {
        self.wallet.told(Arc::clone(&steps));
        self.steps = steps;
        self
    }

    /// The address of the key that pays for transactions.
    pub fn payer(&self) -> Pubkey {
        self.wallet.payer()
    }

    /// The network on the chain.
    pub fn chain(&self) -> &Chain {
        self.wallet.chain()
    }

    /// Goes on until told to stop, which it does between two steps that matter: what was begun is
    /// finished by whoever settles next. An interval that was missed is caught up with the next.
    pub async fn run(&self, stop: &CancellationToken) {
        let mut failures = 0;
        loop {
            let outcome = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                outcome = self.once() => outcome,
            };
            let mut again = false;
            failures = match outcome {
                Ok(_) => 0,
                Err(_) => failures + 1,
            };
            match outcome {
                Ok(Outcome::Settled {
                    batch,
                    receipts,
                    rewards,
                    total,
                    claims,
                }) => {
                    tracing::info!(batch, receipts, rewards, %total, ?claims, "settled a batch");
                    // There are more than one batch takes.
                    again = receipts >= self.config.most_receipts as u64;
                }
                Ok(Outcome::Idle { .. } | Outcome::Busy) => {}
                Err(error) => {
                    metrics::counter!("streamsync_settlement_failures_total").increment(1);
                    tracing::error!("could not settle: {}", with_causes(&error));
                }
            }
            if again {
                continue;
            }
            let wait = match failures {
                0 => self.interval().await,
                _ => retry_after(failures, self.interval().await),
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.release().await;
    }

    async fn interval(&self) -> Duration {
        let configured = self.config.every_s;
        let seconds = match configured {
            Some(seconds) => seconds,
            None => match self.chain().network().await {
                Ok(network) => u64::from(network.terms.batch_interval_s),
                Err(_) => 300,
            },
        };
        Duration::from_secs(seconds.max(1))
    }

    /// Settles one batch, if there is something to pay, and finishes what others have begun.
    pub async fn once(&self) -> Result<Outcome, SettleError> {
        self.steps.before(Step::Lease).await;
        if !self.lease().await? {
            return Ok(Outcome::Busy);
        }
        let outcome = self.settle().await;
        self.steps.before(Step::Release).await;
        self.release().await;
        outcome
    }

    async fn lease(&self) -> Result<bool, SettleError> {
        let time = Duration::from_secs(self.config.lease_s);
        let lease = self.registry.lease(JOB, self.holder, time).await?;
        Ok(lease.is_some())
    }

    async fn release(&self) {
        if let Err(error) = self.registry.release(JOB, self.holder).await {
            tracing::warn!(cause = %error, "could not give the lease of the settlement back");
        }
    }

    async fn settle(&self) -> Result<Outcome, SettleError> {
        self.steps.before(Step::AskChain).await;
        let network = self.chain().network().await?;
        if network.terms.shares != SHARES {
            return Err(SettleError::Shares {
                found: network.terms.shares,
            });
        }
        let mut tables = Tables::open(&self.lake).await?;
        self.archive(&mut tables, network.last_batch).await?;
        let number = network.last_batch + 1;
        self.steps.before(Step::LookForBatch).await;
        // Whatever was written first is the batch of this number, whoever is gone since.
        let next = match self.read(number).await? {
            Some(batch) => Some(batch),
            None => self.write(number, &network).await?,
        };
        let Some(batch) = next else {
            self.publish(network.last_batch).await?;
            self.trim(network.last_batch).await?;
            let claims = self.claim(network.last_batch).await?;
            return Ok(Outcome::Idle { claims });
        };
        self.lease().await?;
        self.wallet.settle(&batch).await?;
        self.archive(&mut tables, number).await?;
        self.count(&batch);
        self.publish(number).await?;
        self.trim(number).await?;
        self.lease().await?;
        let claims = self.claim(number).await?;
        Ok(Outcome::Settled {
            batch: number,
            receipts: batch.receipts.len() as u64,
            rewards: batch.header.rewards.len() as u64,
            total: batch.header.total,
            claims,
        })
    }

    /// Reads the file of a batch.
    async fn read(&self, number: u64) -> Result<Option<Batch>, SettleError> {
        let Some(bytes) = self.lake.get_object(&settlement_file(number)).await? else {
            return Ok(None);
        };
        let network = self.chain().address().network;
        Ok(Some(Batch::read(&network, number, bytes)?))
    }

    /// Reads the file of a batch that the chain has settled.
    async fn read_settled(&self, number: u64) -> Result<Batch, SettleError> {
        let batch = self.read(number).await?.ok_or_else(|| SettleError::Gone {
            number,
            name: settlement_file(number),
        })?;
        if let Some(settled) = self.chain().batch(number).await? {
            check(&batch, &settled)?;
        }
        Ok(batch)
    }

    /// Writes the batch of a number, over the receipts that are there. `None` if they pay nobody.
    async fn write(&self, number: u64, network: &Network) -> Result<Option<Batch>, SettleError> {
        self.steps.before(Step::ReadLast).await;
        let before = match number {
            1 => None,
            _ => Some(self.read_settled(number - 1).await?.header),
        };
        self.steps.before(Step::Collect).await;
        let settled = before.as_ref().map(|before| before.routers.clone());
        let from = self.collect_from();
        let collected = collect(
            &self.registry,
            &self.config.routers,
            &settled.unwrap_or_default(),
            self.config.most_receipts,
            from,
        )
        .await?;
        self.cursor().settled_up_to = match collected.missing.is_empty() {
            true => collected.settled_up_to.clone(),
            // It may lie before.
            false => None,
        };
        metrics::gauge!("streamsync_settlement_strange_receipts").set(collected.strange as f64);
        metrics::gauge!("streamsync_settlement_incomplete_routers")
            .set(collected.missing.len() as f64);
        for (router, number) in &collected.missing {
            tracing::warn!(
                %router, number,
                "a receipt is missing; those of the router that come after it wait for it"
            );
        }
        if collected.strange > 0 {
            tracing::warn!(
                count = collected.strange,
                "there are receipts that no router in settlement.routers has signed; they pay nobody"
            );
        }
        if collected.lines.is_empty() {
            return Ok(None);
        }
        self.steps.before(Step::Aggregate).await;
        let full = collected.lines.len() >= self.config.most_receipts;
        let terms = &network.terms;
        let parts = Parts {
            treasury: terms.treasury,
            data: terms.data,
            governance: terms.governance,
        };
        let dust = self.config.dust;
        let address = self.chain().address().network;
        let batch = tokio::task::spawn_blocking(move || {
            Batch::new(address, before.as_ref(), collected, &parts, dust)
        });
        let batch = batch.await.map_err(CollectError::from)??;
        // A batch that pays nobody waits for one that does, unless it is as large as one can be.
        if batch.header.rewards.is_empty() && !full {
            return Ok(None);
        }
        self.steps.before(Step::Write).await;
        let name = settlement_file(number);
        if self.lake.put_object_once(&name, batch.bytes()).await? {
            return Ok(Some(batch));
        }
        // Somebody else has written one, or an attempt of ours has come through unseen.
        self.read(number).await
    }

    fn cursor(&self) -> MutexGuard<'_, Cursor> {
        self.cursor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where to begin collecting. Now and then that is the beginning: a Redis that has lost
    /// everything and whose clock went back would have new receipts before the cursor.
    fn collect_from(&self) -> Option<String> {
        let mut cursor = self.cursor();
        cursor.used += 1;
        if cursor.used.is_multiple_of(CURSOR_USES) {
            cursor.settled_up_to = None;
        }
        cursor.settled_up_to.clone()
    }

    /// Adds all settled batches up to a number to the lake that are not in it.
    async fn archive(&self, tables: &mut Tables, last: u64) -> Result<(), SettleError> {
        for number in tables.last().await? + 1..=last {
            let batch = self.read_settled(number).await?;
            let settled = self.chain().batch(number).await?;
            let settled = settled.ok_or(ChainError::NotThere {
                what: "batch",
                address: self.chain().address().batch(number),
            })?;
            tables.add(&batch, &settled, self.steps.as_ref()).await?;
        }
        Ok(())
    }

    /// Tells those who ask in Redis of settled batches up to a number: one that has lost everything
    /// of the last ones only.
    async fn publish(&self, last: u64) -> Result<(), SettleError> {
        self.steps.before(Step::Publish).await;
        let published = self.registry.last_published().await?;
        let first = last.saturating_sub(self.config.claim_batches);
        for number in published.max(first) + 1..=last {
            let batch = self.read_settled(number).await?;
            let Some(settled) = self.chain().batch(number).await? else {
                continue;
            };
            let header = &batch.header;
            let summary = SettledBatch {
                batch: number,
                address: self.chain().address().batch(number).to_string(),
                settled_at: settled.settled_at,
                receipts: batch.receipts.len() as u64,
                rewards: settled.leaves,
                charged: header.charged,
                total: header.total,
                root: header.root.clone(),
                file: settlement_file(number),
                file_hash: hex::encode(batch.hash),
            };
            let paid: Vec<_> = header
                .rewards
                .iter()
                .map(|reward| (WorkerId::new(reward.recipient.to_bytes()), reward.amount))
                .collect();
            self.registry.publish_settlement(&summary, &paid).await?;
        }
        Ok(())
    }

    /// Forgets receipts in Redis that are settled, in the lake, and so old that clients look them up
    /// there.
    async fn trim(&self, last_batch: u64) -> Result<(), SettleError> {
        self.steps.before(Step::Trim).await;
        if last_batch == 0 {
            return Ok(());
        }
        let settled = self.read_settled(last_batch).await?.header.routers;
        self.registry.note_settled(&settled).await?;
        let now = self.clock.unix_millis();
        let before = now.saturating_sub(self.config.keep_s * 1_000);
        let mut after: Option<String> = None;
        loop {
            let filed = self.registry.receipts(after.as_deref(), AT_ONCE).await?;
            let old = |id: &str| {
                let millis = id.split('-').next().and_then(|millis| millis.parse().ok());
                millis.is_some_and(|millis: u64| millis <= before)
            };
            let count = filed.len();
            let ids: Vec<String> = filed
                .iter()
                .filter(|filed| old(&filed.id) && is_settled(&filed.receipt, &settled))
                .map(|filed| filed.id.clone())
                .collect();
            self.registry.forget_receipts(&ids).await?;
            match filed.last() {
                Some(last) if count == AT_ONCE && old(&last.id) => after = Some(last.id.clone()),
                _ => return Ok(()),
            }
        }
    }

    /// Claims what nobody has claimed of the last batches.
    async fn claim(&self, last_batch: u64) -> Result<ClaimReport, SettleError> {
        let mut report = ClaimReport::default();
        if !self.config.claim {
            return Ok(report);
        }
        self.steps.before(Step::LookForClaims).await;
        let first = last_batch.saturating_sub(self.config.claim_batches.saturating_sub(1));
        for settled in self.chain().batches(first.max(1)..=last_batch).await? {
            let done = self.claim_of(&settled).await?;
            report.claimed += done.claimed;
            report.amount.0 += done.amount.0;
            report.transactions += done.transactions;
            report.failed += done.failed;
        }
        Ok(report)
    }

    /// Claims what nobody has claimed of a settled batch.
    pub async fn claim_batch(&self, number: u64) -> Result<ClaimReport, SettleError> {
        let settled = self.chain().batch(number).await?;
        let settled = settled.ok_or(ChainError::NotThere {
            what: "batch",
            address: self.chain().address().batch(number),
        })?;
        self.claim_of(&settled).await
    }

    async fn claim_of(&self, settled: &state::Batch) -> Result<ClaimReport, SettleError> {
        if settled.claimed == settled.total || settled.swept {
            return Ok(ClaimReport::default());
        }
        let number = settled.number;
        let batch = self.read_settled(number).await?;
        let unclaimed = self.chain().unclaimed(number, settled.leaves).await?;
        let report = self.wallet.claim(&batch, &unclaimed).await?;
        metrics::counter!("streamsync_settlement_claimed_total").increment(report.claimed);
        metrics::counter!("streamsync_settlement_claims_failed_total").increment(report.failed);
        Ok(report)
    }

    fn count(&self, batch: &Batch) {
        metrics::counter!("streamsync_settlement_batches_total").increment(1);
        metrics::counter!("streamsync_settlement_receipts_total")
            .increment(batch.receipts.len() as u64);
        metrics::counter!("streamsync_settlement_refused_receipts_total")
            .increment(batch.header.refused.len() as u64);
        metrics::counter!("streamsync_settlement_base_units_total").increment(batch.header.total.0);
        metrics::gauge!("streamsync_settlement_last_batch").set(batch.header.batch as f64);
    }
}

/// How long to wait after so many failures in a row: twice as long each time, not longer than the
/// interval, and by chance down to half of that, so that several do not come together.
fn retry_after(failures: u32, interval: Duration) -> Duration {
    let doubled = FIRST_RETRY.saturating_mul(1 << (failures - 1).min(10));
    #[allow(clippy::disallowed_methods, reason = "has to differ between processes")]
    let share = rand::rng().random_range(0.5..1.0);
    doubled.min(interval).mul_f64(share)
}

/// Whether a receipt is among those that are settled.
fn is_settled(line: &str, settled: &BTreeMap<WorkerId, u64>) -> bool {
    genuine_place(line)
        .is_some_and(|(router, number)| settled.get(&router).is_some_and(|last| number <= *last))
}
