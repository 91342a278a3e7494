//! Clients' credit, as far as this router holds it: leased from Redis in advance, spent here, so that
//! no query waits for Redis.

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use streamsync_core::{Amount, ClientId, clock::SharedClock, config::CreditConfig};
use streamsync_registry::{Grant, Registry, RegistryError};

/// Which share of a lease is counted on: Redis counts from a little later, and clocks differ.
const COUNTED_ON: f64 = 0.9;
/// Which part of what a lease takes has to be left for none to be asked for in advance.
const REFILL_UNDER: u64 = 4;

/// Why a query cannot be paid for.
#[derive(Debug, thiserror::Error)]
pub enum CreditError {
    /// There is not enough.
    #[error("the query costs {price} and {client} has {balance} left{}{}; add credit, or wait until routers give back what they hold", with_others(.leased), owed(.debt))]
    Insufficient {
        /// Who pays.
        client: ClientId,
        /// The price.
        price: Amount,
        /// What is left.
        balance: Amount,
        /// What routers hold.
        leased: Amount,
        /// What is owed.
        debt: Amount,
    },
    /// What this router holds is spent, and Redis is not there to lend more.
    #[error(
        "the credit that this router holds for {client} is spent, and the registry cannot be asked for more"
    )]
    Unreachable {
        /// Who pays.
        client: ClientId,
        /// Why.
        source: Box<RegistryError>,
    },
}

fn with_others(amount: &Amount) -> String {
    match *amount {
        Amount::ZERO => String::new(),
        amount => format!(" (and {amount} with other routers)"),
    }
}

fn owed(amount: &Amount) -> String {
    match *amount {
        Amount::ZERO => String::new(),
        amount => format!(", and owes {amount}"),
    }
}

impl CreditError {
    /// How much more credit the query would need.
    pub fn missing(&self) -> Option<Amount> {
        match self {
            Self::Insufficient {
                price,
                balance,
                debt,
                ..
            } => {
                let needed = price.0.saturating_add(debt.0);
                Some(Amount(needed.saturating_sub(balance.0)))
            }
            Self::Unreachable { .. } => None,
        }
    }
}

/// What this router holds. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Credit(Arc<Inner>);

struct Inner {
    config: CreditConfig,
    registry: Registry,
    holder: String,
    clock: SharedClock,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    accounts: HashMap<ClientId, Account>,
    /// Until when leases are counted on, by the clock.
    until: Duration,
    /// How often leases have ended. What was reserved before is not given back after.
    generation: u64,
    /// What was held when leases ended, and Redis may think is held still.
    given_up: Vec<(ClientId, Amount)>,
}

struct Account {
    free: u64,
    used_at: Duration,
    /// Held by whoever asks Redis, so that one does at a time.
    asking: Arc<tokio::sync::Mutex<()>>,
}

/// Credit set aside for a query. What is not spent is free again when this is dropped.
pub(crate) struct Reserved {
    credit: Credit,
    client: ClientId,
    amount: u64,
    generation: u64,
}

impl fmt::Debug for Reserved {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} of {}", Amount(self.amount), self.client)
    }
}

impl Reserved {
    /// Spends of it what is charged, for which there is a receipt.
    pub(crate) fn spend(mut self, charged: Amount) {
        self.amount = self.amount.saturating_sub(charged.0);
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let mut state = self.credit.state();
        if state.generation == self.generation
            && let Some(account) = state.accounts.get_mut(&self.client)
        {
            account.free += self.amount;
        }
    }
}

impl Credit {
    pub(crate) fn new(
        config: CreditConfig,
        registry: Registry,
        holder: String,
        clock: SharedClock,
    ) -> Self {
        Self(Arc::new(Inner {
            config,
            registry,
            holder,
            clock,
            state: Mutex::default(),
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lease_time(&self) -> Duration {
        Duration::from_secs(self.0.config.lease_s)
    }

    /// Sets a price aside. Redis is asked only if what is held does not do.
    pub(crate) async fn reserve(
        &self,
        client: &ClientId,
        price: Amount,
    ) -> Result<Reserved, CreditError> {
        let asking = match self.take(client, price) {
            Ok((reserved, refill)) => {
                if let Some(asking) = refill {
                    self.refill(client.clone(), asking);
                }
                return Ok(reserved);
            }
            Err(asking) => asking,
        };
        let _asking = asking.lock().await;
        // Who asked before may have got enough for this one too.
        if let Ok((reserved, _)) = self.take(client, price) {
            return Ok(reserved);
        }
        let granted = self.ask(client, price).await;
        let granted = granted.map_err(|source| CreditError::Unreachable {
            client: client.clone(),
            source: Box::new(source),
        })?;
        self.take(client, price)
            .map(|(reserved, _)| reserved)
            .map_err(|_| CreditError::Insufficient {
                client: client.clone(),
                price,
                balance: granted.balance,
                leased: granted.leased_elsewhere,
                debt: granted.debt,
            })
    }

    /// Takes from what is held. Also says whether it is time to ask for more; if it does not do,
    /// what to lock for asking.
    #[allow(clippy::type_complexity)]
    fn take(
        &self,
        client: &ClientId,
        price: Amount,
    ) -> Result<(Reserved, Option<Arc<tokio::sync::Mutex<()>>>), Arc<tokio::sync::Mutex<()>>> {
        let now = self.0.clock.monotonic();
        let mut state = self.state();
        if now >= state.until {
            state.end();
        }
        let generation = state.generation;
        let account = state
            .accounts
            .entry(client.clone())
            .or_insert_with(|| Account {
                free: 0,
                used_at: now,
                asking: Arc::default(),
            });
        account.used_at = now;
        if account.free < price.0 {
            return Err(Arc::clone(&account.asking));
        }
        account.free -= price.0;
        let low = account.free < self.0.config.lease.0 / REFILL_UNDER;
        let refill = low.then(|| Arc::clone(&account.asking));
        let reserved = Reserved {
            credit: self.clone(),
            client: client.clone(),
            amount: price.0,
            generation,
        };
        Ok((reserved, refill))
    }

    /// Asks for more before it is needed, unless somebody does already.
    fn refill(&self, client: ClientId, asking: Arc<tokio::sync::Mutex<()>>) {
        let Ok(asking) = asking.try_lock_owned() else {
            return;
        };
        let credit = self.clone();
        tokio::spawn(async move {
            let _asking = asking;
            if let Err(error) = credit.ask(&client, Amount(1)).await {
                let error = &error as &dyn std::error::Error;
                tracing::debug!(error, "could not lease credit in advance");
            }
        });
    }

    async fn ask(&self, client: &ClientId, needed: Amount) -> Result<Grant, RegistryError> {
        let sent = self.0.clock.monotonic();
        let time = self.lease_time();
        let asked =
            self.0
                .registry
                .lease_credit(&self.0.holder, client, needed, self.0.config.lease, time);
        let grant = asked.await?;
        let mut state = self.state();
        state.until = state.until.max(sent + time.mul_f64(COUNTED_ON));
        if let Some(account) = state.accounts.get_mut(client) {
            account.free += grant.granted.0;
        }
        Ok(grant)
    }

    /// Keeps what is held for longer, and gives back what no query needed for a while.
    pub(crate) async fn keep(&self) -> Result<(), RegistryError> {
        let now = self.0.clock.monotonic();
        let idle = Duration::from_secs(self.0.config.idle_s);
        let (returned, holds) = {
            let mut state = self.state();
            if now >= state.until {
                state.end();
            }
            let mut returned = std::mem::take(&mut state.given_up);
            state.accounts.retain(|client, account| {
                let is_idle = now.saturating_sub(account.used_at) >= idle
                    && Arc::strong_count(&account.asking) == 1;
                if is_idle && account.free > 0 {
                    returned.push((client.clone(), Amount(account.free)));
                }
                !is_idle
            });
            (returned, !state.accounts.is_empty())
        };
        // What fails to be given back is Redis's again when the leases end. It is not taken back
        // here: Redis may have heard.
        for (client, amount) in returned {
            self.0
                .registry
                .return_credit(&self.0.holder, &client, amount)
                .await?;
        }
        if holds {
            let sent = self.0.clock.monotonic();
            let kept = self
                .0
                .registry
                .keep_credit(&self.0.holder, self.lease_time())
                .await?;
            let mut state = self.state();
            if kept {
                state.until = state
                    .until
                    .max(sent + self.lease_time().mul_f64(COUNTED_ON));
            }
        }
        Ok(())
    }

    /// How often [`Credit::keep`] should be called.
    pub(crate) fn keep_every(&self) -> Duration {
        (self.lease_time() / 4).min(Duration::from_secs(self.0.config.idle_s) / 2)
    }

    /// Gives all of it back, when the router stops and its receipts are told.
    pub(crate) async fn end(&self) -> Result<(), RegistryError> {
        self.state().end();
        self.0.registry.end_credit(&self.0.holder).await
    }
}

impl State {
    fn end(&mut self) {
        self.generation += 1;
        for (client, account) in &mut self.accounts {
            let free = std::mem::take(&mut account.free);
            if free > 0 {
                self.given_up.push((client.clone(), Amount(free)));
            }
        }
    }
}
