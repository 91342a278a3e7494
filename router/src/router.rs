//! The router itself: what it knows, and a query from start to end.

use crate::{
    Ask, Catalog, Fleet, PlanError, RaceError, Verify, choose,
    heat::Heat,
    plan,
    race::{Race, Won},
    racer::{self, Rows},
};
use rand::Rng;
use reqwest::Client;
use std::{
    sync::{Arc, PoisonError, RwLock},
    time::Duration,
};
use streamsync_core::{
    Amount, Outcome, QueryId, Snapshot, WorkerId, clock::SharedClock, config::RouterConfig,
};
use tokio::sync::Semaphore;

/// A router. Cheap to clone; all clones are the same router.
#[derive(Clone)]
pub struct Router(Arc<Inner>);

struct Inner {
    config: RouterConfig,
    client: Client,
    catalog: RwLock<Arc<Catalog>>,
    fleet: Fleet,
    heat: Heat,
    places: Semaphore,
    clock: SharedClock,
}

/// A query that was raced and won.
#[derive(Debug)]
pub struct Raced {
    /// Its id.
    pub id: QueryId,
    /// The versions that it read.
    pub snapshot: Snapshot,
    /// The rows.
    pub rows: Rows,
    /// Their digest and number.
    pub outcome: Outcome,
    /// Who was first.
    pub winner: WorkerId,
    /// Who confirmed it.
    pub verifiers: Vec<WorkerId>,
    /// Who answered otherwise, or lied.
    pub dissenters: Vec<WorkerId>,
    /// How long the router took.
    pub took: Duration,
    /// What it costs: nothing, if it took longer than promised.
    pub price: Amount,
}

/// Why a query has no answer.
#[derive(Debug, thiserror::Error)]
pub enum RouterError {
    /// It was not raced.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// It was raced and nobody won.
    #[error(transparent)]
    Race(#[from] RaceError),
    /// The router has enough to do.
    #[error("the router races {0} queries already; come back later")]
    Busy(usize),
    /// The lake has not been seen yet.
    #[error("the router has not seen the lake yet; come back later")]
    NotReady,
}

impl Router {
    /// A router that knows nothing yet; [`watch`](crate::watch) tells it.
    pub fn new(config: RouterConfig, clock: SharedClock) -> Result<Self, reqwest::Error> {
        let places = Semaphore::new(config.max_in_flight);
        Ok(Self(Arc::new(Inner {
            config,
            client: racer::client()?,
            catalog: RwLock::default(),
            fleet: Fleet::new(Arc::clone(&clock)),
            heat: Heat::default(),
            places,
            clock,
        })))
    }

    /// The workers that it knows.
    pub fn fleet(&self) -> &Fleet {
        &self.0.fleet
    }

    /// What is asked for.
    pub(crate) fn heat(&self) -> &Heat {
        &self.0.heat
    }

    /// The time, in milliseconds since 1970.
    pub(crate) fn unix_millis(&self) -> u64 {
        self.0.clock.unix_millis()
    }

    /// Its configuration.
    pub fn config(&self) -> &RouterConfig {
        &self.0.config
    }

    /// The tables that it knows.
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(
            &self
                .0
                .catalog
                .read()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// Takes newer versions of the tables. Queries under way keep what they began with.
    pub fn set_catalog(&self, catalog: Catalog) {
        *self
            .0
            .catalog
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Arc::new(catalog);
    }

    /// Whether it can answer: it has seen the lake, and enough workers live.
    pub fn is_ready(&self) -> bool {
        let alive = choose(&self.0.fleet.workers(), &[]).len();
        self.catalog().tables().next().is_some() && alive > self.0.config.confirmations
    }

    /// A new query id.
    pub fn query_id(&self) -> QueryId {
        #[allow(clippy::disallowed_methods)]
        let random = rand::rng().random();
        QueryId::new(self.0.clock.as_ref(), random)
    }

    /// Answers a query. Dropping the future stops all its racers.
    pub async fn query(&self, id: QueryId, ask: Ask) -> Result<Raced, RouterError> {
        let inner = &self.0;
        let began = inner.clock.monotonic();
        let _place = inner
            .places
            .try_acquire()
            .map_err(|_full| RouterError::Busy(inner.config.max_in_flight))?;
        let catalog = self.catalog();
        if catalog.tables().next().is_none() {
            return Err(RouterError::NotReady);
        }
        let verify = ask.verify;
        let query = plan::plan(ask, id, &catalog, &inner.config).await?;
        inner.heat.count(&query.partitions);
        let candidates = choose(&inner.fleet.workers(), &query.partitions);
        let needed = match verify {
            Verify::Quorum => 1 + inner.config.confirmations,
            Verify::Fast => 1,
        };
        if candidates.len() < needed {
            return Err(RaceError::TooFew {
                alive: candidates.len(),
                needed,
            }
            .into());
        }
        let snapshot = query.snapshot.clone();
        let clock = Arc::clone(&inner.clock);
        let racers = inner.config.racers;
        let mut race = Race::start(inner.client.clone(), query, candidates, racers, clock);
        let won = race.finish(needed).await?;
        let raced = self.raced(id, snapshot, won, began);
        if verify == Verify::Fast {
            audit_later(race, id, raced.winner, raced.outcome);
        }
        Ok(raced)
    }

    fn raced(&self, id: QueryId, snapshot: Snapshot, won: Won, began: Duration) -> Raced {
        for dissenter in &won.dissenters {
            tracing::warn!(query = %id, worker = %dissenter.worker, evidence = ?dissenter, "a racer disagrees");
            metrics::counter!("streamsync_router_dissent_total").increment(1);
        }
        let took = self.0.clock.monotonic().saturating_sub(began);
        let in_time = took <= Duration::from_millis(self.0.config.promise_ms);
        let dissenters = won
            .dissenters
            .iter()
            .map(|signed| signed.worker)
            .chain(won.liars);
        Raced {
            id,
            snapshot,
            rows: won.rows,
            outcome: won.winner.outcome,
            winner: won.winner.worker,
            verifiers: won.verifiers.iter().map(|signed| signed.worker).collect(),
            dissenters: dissenters.collect(),
            took,
            price: if in_time {
                self.0.config.base_price
            } else {
                Amount::ZERO
            },
        }
    }
}

fn audit_later(mut race: Race, id: QueryId, winner: WorkerId, given: Outcome) {
    tokio::spawn(async move {
        for other in race.audit(given).await {
            tracing::warn!(query = %id, %winner, worker = %other.worker, evidence = ?other, "a fast answer is disputed");
            metrics::counter!("streamsync_router_dissent_total").increment(1);
        }
    });
}
