//! Following the chain: stakes and deposits, from finalized accounts into the registry.

use crate::{Chain, ChainError};
use sha2::{Digest, Sha256};
use solana_pubkey::Pubkey;
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};
use streamsync_core::{Amount, ClientId, WorkerId, clock::SharedClock, with_causes};
use streamsync_registry::{Act, ChainDeposit, Registry, RegistryError};
use tokio_util::sync::CancellationToken;

/// Follows a network. Any number of them may run: they all tell the registry the same, and it counts
/// each deposit once.
pub struct Follower {
    chain: Chain,
    registry: Registry,
    mints: Vec<Pubkey>,
    clock: SharedClock,
}

/// What was found.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Followed {
    /// The workers whose operators' stakes were looked at.
    pub workers: u64,
    /// Those whose stake changed since the last time.
    pub changed: u64,
    /// The clients that were given credit.
    pub credited: u64,
    /// What they were given.
    pub amount: Amount,
}

/// Why the chain could not be followed. What was found before holds; the rest is tried again.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The chain could not be read.
    #[error("could not read stakes and deposits from the chain")]
    Chain(#[source] Box<ChainError>),
    /// The registry could not be told.
    #[error("could not tell the registry of stakes and deposits")]
    Registry(#[from] RegistryError),
}

impl From<ChainError> for FollowError {
    fn from(error: ChainError) -> Self {
        Self::Chain(Box::new(error))
    }
}

/// The reference of a client's deposits: the SHA-256 hash of its name.
pub fn deposit_reference(client: &ClientId) -> [u8; 32] {
    Sha256::digest(client.as_str().as_bytes()).into()
}

impl Follower {
    /// A follower of a network, and of deposits of other mints than its own.
    pub fn new(
        chain: Chain,
        registry: Registry,
        other_mints: impl IntoIterator<Item = Pubkey>,
        clock: SharedClock,
    ) -> Self {
        let own = chain.address().mint;
        let mints: BTreeSet<Pubkey> = other_mints.into_iter().chain([own]).collect();
        Self {
            chain,
            registry,
            mints: mints.into_iter().collect(),
            clock,
        }
    }

    /// Looks every so often until told to stop.
    pub async fn run(&self, every: Duration, stop: &CancellationToken) {
        let mut turns = tokio::time::interval(every);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = turns.tick() => {}
            }
            match self.once().await {
                Ok(followed) => tracing::debug!(?followed, "followed the chain"),
                Err(error) => {
                    metrics::counter!("streamsync_settlement_follow_failures_total").increment(1);
                    tracing::error!("{}", with_causes(&error));
                }
            }
        }
    }

    /// Looks once.
    pub async fn once(&self) -> Result<Followed, FollowError> {
        let mut followed = Followed::default();
        self.stakes(&mut followed).await?;
        self.deposits(&mut followed).await?;
        Ok(followed)
    }

    async fn stakes(&self, followed: &mut Followed) -> Result<(), FollowError> {
        let minimum = Amount(self.chain.network().await?.terms.minimum_stake);
        let workers: BTreeMap<WorkerId, WorkerId> = self
            .registry
            .workers()
            .await?
            .iter()
            .map(|worker| (worker.heartbeat.worker, worker.heartbeat.operator()))
            .collect();
        let owners: BTreeSet<Pubkey> = workers.values().map(wallet).collect();
        let owners: Vec<Pubkey> = owners.into_iter().collect();
        let stakes: BTreeMap<Pubkey, u64> = self
            .chain
            .operators(&owners)
            .await?
            .into_iter()
            .map(|operator| (operator.owner, operator.stake))
            .collect();
        let stake_of = |operator: &WorkerId| {
            let stake = stakes.get(&wallet(operator)).copied();
            Amount(stake.unwrap_or_default())
        };
        let known: BTreeMap<WorkerId, Amount> = workers
            .iter()
            .map(|(worker, operator)| (*worker, stake_of(operator)))
            .collect();
        followed.workers = known.len() as u64;
        followed.changed = self.registry.set_stakes(minimum, &known).await?;
        let enough = known.values().filter(|stake| **stake >= minimum).count();
        metrics::gauge!("streamsync_settlement_staked_workers").set(enough as f64);
        Ok(())
    }

    async fn deposits(&self, followed: &mut Followed) -> Result<(), FollowError> {
        let keys = self.registry.api_keys().await?;
        let clients: BTreeSet<ClientId> = keys.into_iter().map(|key| key.client).collect();
        let by_reference: BTreeMap<[u8; 32], ClientId> = clients
            .into_iter()
            .map(|client| (deposit_reference(&client), client))
            .collect();
        let references: Vec<[u8; 32]> = by_reference.keys().copied().collect();
        for mint in &self.mints {
            for found in self.chain.deposits(mint, &references).await? {
                if let Some(client) = by_reference.get(&found.reference) {
                    self.credit(client, mint, found.credited, followed).await?;
                }
            }
        }
        Ok(())
    }

    async fn credit(
        &self,
        client: &ClientId,
        mint: &Pubkey,
        credited: u64,
        followed: &mut Followed,
    ) -> Result<(), FollowError> {
        let network = self.chain.address().network;
        let act = Act {
            at_ms: self.clock.unix_millis(),
            actor: network.to_string(),
            from: "chain".to_owned(),
            action: "deposit".to_owned(),
            subject: client.to_string(),
            detail: serde_json::json!({ "mint": mint.to_string(), "sum": credited }),
        };
        let told = self
            .registry
            .deposit_from_chain(client, &mint.to_string(), Amount(credited), &act)
            .await?;
        match told {
            ChainDeposit::Known => {}
            ChainDeposit::Added(amount) => {
                tracing::info!(%client, %mint, %amount, "credit for a deposit on chain");
                metrics::counter!("streamsync_settlement_deposits_total").increment(1);
                followed.credited += 1;
                followed.amount = Amount(followed.amount.0.saturating_add(amount.0));
            }
            ChainDeposit::TooMuch(amount) => tracing::warn!(
                %client, %mint, %amount,
                "a deposit on chain would give a client more credit than one may hold; it waits"
            ),
            ChainDeposit::Less { known } => tracing::error!(
                %client, %mint, %known, credited,
                "the chain has fewer deposits of a client than it had: settlement.network was \
                 another one before"
            ),
        }
        Ok(())
    }
}

/// The wallet of an operator: their keys are of one kind.
pub(crate) fn wallet(operator: &WorkerId) -> Pubkey {
    Pubkey::new_from_array(*operator.as_bytes())
}
