//! The router itself: what it knows, and a query from start to end.

use crate::{
    Accounts, Ask, Catalog, Client, CreditError, Fleet, Full, JournalError, PlanError, Price,
    RaceError, Verify,
    accounts::Answer,
    callers::Named,
    contest::{Contest, Field, Traces},
    credit::Reserved,
    dispute,
    heat::Heat,
    market::{Market, winners_part},
    outbox::{Message, Outbox, Outgoing},
    plan::{self, Planned, ReadPartition},
    queue::{Limits, Place, Queue},
    racer::{Rows, Workers},
    stage::Stages,
    unstaffed::Unstaffed,
};
use rand::Rng;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock},
    time::Duration,
};
use streamsync_core::{
    Amount, Class, Level, Outcome, Promise, QueryId, Snapshot, TableName, WorkerId,
    clock::SharedClock,
    config::{Config, RaceConfig, RouterConfig},
};
use streamsync_race::{Asked, RecentLatency, Roster, Rules, choose, seeded};
use streamsync_registry::{Audit, Finding};
use streamsync_tls::Credentials;
use tokio::sync::{Notify, Semaphore};

/// How many disputes are looked into at the same time; during more of them, further ones are left.
const DISPUTES: usize = 16;

/// The shortest time after which a winner that sends nothing is given up.
const SHORTEST_STALL: Duration = Duration::from_millis(100);

/// A router. Cheap to clone; all clones are the same router.
#[derive(Clone)]
pub struct Router(Arc<Inner>);

struct Inner {
    config: RouterConfig,
    race: RaceConfig,
    workers: Workers,
    catalog: RwLock<Arc<Catalog>>,
    fleet: Fleet,
    heat: Heat,
    queue: Queue,
    unstaffed: Unstaffed,
    /// Told when there may be something new in the lake.
    look: Notify,
    latency: Mutex<RecentLatency>,
    market: Market,
    /// `None` where nobody is asked who he is.
    accounts: Option<Accounts>,
    outbox: Outbox,
    outgoing: Mutex<Option<Outgoing>>,
    disputes: Arc<Semaphore>,
    clock: SharedClock,
}

/// A query that was raced and won.
#[derive(Debug)]
pub struct Raced {
    /// Its id.
    pub id: QueryId,
    /// What kind of work it was.
    pub class: Class,
    /// The versions that it read.
    pub snapshot: Snapshot,
    /// The rollups that it named, and the level of each that it was answered from.
    pub levels: BTreeMap<TableName, Level>,
    /// The rows.
    pub rows: Rows,
    /// Their digest and number.
    pub outcome: Outcome,
    /// Who was first.
    pub winner: WorkerId,
    /// Who confirmed it.
    pub verifiers: Vec<WorkerId>,
    /// How many different operators the winner and the verifiers have.
    pub operators: usize,
    /// Who answered otherwise, or lied.
    pub dissenters: Vec<WorkerId>,
    /// How long the race took, from when it had a place.
    pub took: Duration,
    /// What it costs.
    pub price: Price,
    /// Whether it is free unless it is fast.
    promised: bool,
    /// What was set aside to pay for it.
    reserved: Option<Reserved>,
}

/// What an answer costs in the end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Bill {
    /// What the client pays.
    pub charged: Amount,
    /// What became of the promise.
    pub promise: Promise,
    /// The number of the receipt, if there is one.
    pub receipt: Option<u64>,
}

/// What a query would cost, and why.
#[derive(Debug)]
pub struct Quote {
    /// What kind of work it is.
    pub class: Class,
    /// The versions that it would read.
    pub snapshot: Snapshot,
    /// The rollups that it names, and the level of each that it would be answered from.
    pub levels: BTreeMap<TableName, Level>,
    /// The partitions that it may have to read, with their files and bytes.
    pub partitions: Vec<ReadPartition>,
    /// What it would cost now.
    pub price: Price,
    /// Whether it would be free unless it is fast.
    pub promised: bool,
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
    #[error(transparent)]
    Full(#[from] Full),
    /// It costs more than the client wants to pay.
    #[error("the query costs {price}, which is over max_price, {max_price}")]
    Price {
        /// The price.
        price: Amount,
        /// The client's bound.
        max_price: Amount,
    },
    /// The client cannot pay for it.
    #[error(transparent)]
    Credit(#[from] CreditError),
    /// The receipt could not be kept, so the answer is not given.
    #[error("the receipt could not be kept, and without one no answer is given")]
    Receipt(#[source] JournalError),
    /// The lake has not been seen yet.
    #[error("the router has not seen the lake yet; come back later")]
    NotReady,
}

impl Router {
    /// A router that knows nothing yet; [`watch`](crate::watch) tells it. Without accounts anyone may
    /// ask, and nobody pays; without credentials it talks to workers in plain text.
    pub fn new(
        config: &Config,
        accounts: Option<Accounts>,
        credentials: Option<Credentials>,
        clock: SharedClock,
    ) -> Self {
        let (outbox, outgoing) = Outbox::new();
        let (prices, race) = (config.price.clone(), config.race.clone());
        let config = config.router.clone();
        let queue = Queue::new(Limits {
            places: config.max_in_flight,
            waiting: config.queue,
            waiting_per_client: config.queue_per_client,
            patience: Duration::from_millis(config.queue_ms),
        });
        Self(Arc::new(Inner {
            workers: Workers::new(credentials),
            catalog: RwLock::default(),
            fleet: Fleet::new(race.clone(), Arc::clone(&clock)),
            heat: Heat::default(),
            queue,
            unstaffed: Unstaffed::default(),
            look: Notify::new(),
            latency: Mutex::default(),
            market: Market::new(prices),
            accounts,
            outbox,
            outgoing: Mutex::new(Some(outgoing)),
            disputes: Arc::new(Semaphore::new(DISPUTES)),
            config,
            race,
            clock,
        }))
    }

    /// The workers that it knows.
    pub fn fleet(&self) -> &Fleet {
        &self.0.fleet
    }

    /// What is asked for.
    pub(crate) fn heat(&self) -> &Heat {
        &self.0.heat
    }

    /// What the registry has to be told; for the one who tells it.
    pub(crate) fn take_outgoing(&self) -> Option<Outgoing> {
        let outgoing = self.0.outgoing.lock();
        outgoing.unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn accounts(&self) -> Option<&Accounts> {
        self.0.accounts.as_ref()
    }

    /// Whether clients have keys and pay.
    pub fn has_accounts(&self) -> bool {
        self.0.accounts.is_some()
    }

    pub(crate) fn market(&self) -> &Market {
        &self.0.market
    }

    pub(crate) fn outbox(&self) -> &Outbox {
        &self.0.outbox
    }

    pub(crate) fn workers(&self) -> &Workers {
        &self.0.workers
    }

    pub(crate) fn clock(&self) -> &SharedClock {
        &self.0.clock
    }

    /// How many queries it has before it, in each state.
    pub(crate) fn load(&self) -> [(&'static str, usize); 3] {
        let (placed, waiting) = self.0.queue.load();
        let unstaffed = self.0.unstaffed.waiting();
        [
            ("racing", placed.saturating_sub(unstaffed)),
            ("waiting", waiting),
            ("unstaffed", unstaffed),
        ]
    }

    /// Has the lake looked at now, and not when it is its turn.
    pub fn look(&self) {
        self.0.look.notify_one();
    }

    /// Waits until somebody wants the lake looked at.
    pub(crate) async fn wanted_to_look(&self) {
        self.0.look.notified().await;
    }

    /// Its configuration.
    pub fn config(&self) -> &RouterConfig {
        &self.0.config
    }

    /// How it races.
    pub fn race_config(&self) -> &RaceConfig {
        &self.0.race
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

    /// Whether it can answer: it has seen the lake, and enough workers live, or queries wait for them.
    pub fn is_ready(&self) -> bool {
        let alive = self.0.fleet.roster().members().len();
        let staffed = alive >= self.0.race.quorum() || self.0.config.await_workers_ms > 0;
        self.catalog().tables().next().is_some() && staffed
    }

    /// A new query id.
    pub fn query_id(&self) -> QueryId {
        #[allow(clippy::disallowed_methods)]
        let random = rand::rng().random();
        QueryId::new(self.0.clock.as_ref(), random)
    }

    fn latency(&self) -> MutexGuard<'_, RecentLatency> {
        self.0
            .latency
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How long the winner may send nothing: by far longer than whole races of the class take.
    fn stall(&self, class: Class) -> Duration {
        let longest = Duration::from_millis(self.0.race.stall_ms);
        (self.latency().p95(class) * 10).clamp(SHORTEST_STALL.min(longest), longest)
    }

    async fn plan(&self, id: QueryId, ask: Ask) -> Result<Planned, RouterError> {
        let catalog = self.catalog();
        if catalog.tables().next().is_none() {
            return Err(RouterError::NotReady);
        }
        let archive_after = self.0.race.archive_after_days;
        Ok(plan::plan(ask, id, &catalog, &self.0.config, archive_after).await?)
    }

    fn price(&self, planned: &Planned, roster: &Roster) -> Price {
        let (class, racers) = (planned.class, self.0.race.racers);
        self.0.market.price(class, planned.bytes(), roster, racers)
    }

    /// Lookups of what enough workers have at hand are promised to be fast.
    fn promised(&self, planned: &Planned, roster: &Roster) -> bool {
        planned.class == Class::Lookup
            && roster.have(&planned.query.partitions, self.0.race.quorum())
    }

    /// Says what a query would cost now.
    pub async fn quote(&self, ask: Ask) -> Result<Quote, RouterError> {
        let planned = self.plan(self.query_id(), ask).await?;
        let roster = self.0.fleet.roster();
        Ok(Quote {
            price: self.price(&planned, &roster),
            promised: self.promised(&planned, &roster),
            class: planned.class,
            snapshot: planned.query.snapshot,
            levels: planned.levels,
            partitions: planned.reads,
        })
    }

    /// Answers a query. Dropping the future stops all its racers.
    pub(crate) async fn query(
        &self,
        id: QueryId,
        client: Client,
        named: Option<&Named>,
        ask: Ask,
    ) -> Result<Raced, RouterError> {
        let inner = &self.0;
        let mut stages = Stages::begin(Arc::clone(&inner.clock));
        let place = inner.queue.enter(client).await?;
        stages.end("queue");
        let (verify, max_price) = (ask.verify, ask.max_price);
        let mut planned = self.plan(id, ask).await?;
        inner.heat.count(&planned.query.partitions);
        stages.end("plan");

        let needed = match verify {
            Verify::Quorum => inner.race.quorum(),
            Verify::Fast => 1,
        };
        let time_left = &mut planned.query.time_left_ms;
        let patience = Duration::from_millis(inner.config.await_workers_ms.min(*time_left));
        let asked_at = inner.clock.monotonic();
        let staffed = inner.unstaffed.staffed(&inner.fleet, needed, patience);
        let roster = staffed.await?;
        let waited = inner.clock.monotonic().saturating_sub(asked_at);
        *time_left = time_left.saturating_sub(waited.as_millis() as u64).max(1);
        stages.end("staff");
        let price = self.price(&planned, &roster);
        if let Some(max_price) = max_price.filter(|max_price| *max_price < price.price) {
            let price = price.price;
            return Err(RouterError::Price { price, max_price });
        }
        let reserved = match (&inner.accounts, named) {
            (Some(accounts), Some(named)) => Some(
                accounts
                    .credit()
                    .reserve(&named.client, price.price)
                    .await?,
            ),
            _ => None,
        };
        let promised = self.promised(&planned, &roster);
        let Planned {
            query,
            class,
            levels,
            ..
        } = planned;
        stages.end("price");
        let began = inner.clock.monotonic();
        let mut random = seeded(&id);
        let asked = Asked {
            partitions: &query.partitions,
            class,
            // A fast answer is audited by a quorum.
            needed: inner.race.quorum(),
            pays: winners_part(price.price),
        };
        let choice = choose(&roster, asked, &inner.race, began, &mut random);
        let rules = Rules {
            class,
            policy: inner.race.policy(class),
            needed,
            racers: inner.race.racers,
            most_asked: inner.race.most_asked,
            hedge_after: self.latency().p95(class),
        };
        stages.end("select");

        let snapshot = query.snapshot.clone();
        let deadline = began + Duration::from_millis(query.time_left_ms);
        let field = Field {
            workers: inner.workers.clone(),
            outbox: inner.outbox.clone(),
            choice,
            rules,
            stall: self.stall(class),
            random,
            clock: Arc::clone(&inner.clock),
            deadline,
        };
        let mut contest = Contest::start(query, field);
        stages.end("send");
        let won = contest.finish().await;
        let won = match won {
            Ok(won) => won,
            Err(error) => {
                // Nobody has won, but somebody may have lied.
                self.look_into(contest.traces(), None);
                return Err(error.into());
            }
        };
        let decided_at = won.decided_at;
        stages.end_at("execute", decided_at);
        stages.end("verify");
        self.latency().note(class, decided_at.saturating_sub(began));
        let raced = Raced {
            id,
            class,
            snapshot,
            levels,
            outcome: won.outcome,
            dissenters: contest.dissenters(won.outcome),
            rows: won.rows,
            winner: won.winner,
            verifiers: won.verifiers,
            operators: won.operators,
            took: stages.took(),
            price,
            promised,
            reserved,
        };
        match verify {
            Verify::Quorum => {
                contest.close(Some(raced.outcome), false);
                self.look_into(contest.traces(), Some(raced.outcome));
            }
            Verify::Fast => self.audit_later(contest, &raced, place),
        }
        Ok(raced)
    }

    /// Charges for an answer that is about to be given, so long after its request had come. If there
    /// can be no receipt, it may not be given.
    pub(crate) fn settle(
        &self,
        raced: &mut Raced,
        named: Option<&Named>,
        took: Duration,
    ) -> Result<Bill, RouterError> {
        let promise = match raced.promised {
            false => Promise::None,
            true if took <= Duration::from_millis(self.0.config.promise_ms) => Promise::Kept,
            true => Promise::Broken,
        };
        metrics::counter!("streamsync_router_promises_total", "promise" => promise.name())
            .increment(1);
        let (Some(accounts), Some(named), Some(reserved), Outcome::Rows { digest, rows }) = (
            &self.0.accounts,
            named,
            raced.reserved.take(),
            raced.outcome,
        ) else {
            let charged = Amount::ZERO;
            return Ok(Bill {
                charged,
                promise,
                receipt: None,
            });
        };
        let answer = Answer {
            query: raced.id,
            class: raced.class,
            snapshot: &raced.snapshot,
            digest,
            rows,
            price: raced.price.price,
            promise,
            took,
            winner: raced.winner,
            verifiers: &raced.verifiers,
            dissenters: &raced.dissenters,
        };
        let signed = accounts
            .charge(named, answer, reserved)
            .map_err(RouterError::Receipt)?;
        metrics::counter!("streamsync_router_charged_total").increment(signed.receipt.charged.0);
        Ok(Bill {
            charged: signed.receipt.charged,
            promise,
            receipt: Some(signed.receipt.number),
        })
    }

    /// Compares an answer that was given with those of others, off the query's path. It keeps the
    /// query's place, so that audits are no more than queries may be.
    fn audit_later(&self, mut contest: Contest, raced: &Raced, place: Place) {
        let router = self.clone();
        let (query, winner, given) = (raced.id, raced.winner, raced.outcome);
        tokio::spawn(async move {
            let decision = contest.audit(router.0.race.quorum()).await;
            drop(place);
            let finding = match &decision {
                Some(decision) if decision.outcome == given => Finding::Confirmed,
                Some(_) => Finding::Refuted,
                None => Finding::Unconfirmed,
            };
            metrics::counter!("streamsync_router_audits_total", "finding" => finding.name())
                .increment(1);
            if finding == Finding::Refuted {
                tracing::error!(%query, %winner, "an answer that was given is refuted by others");
            }
            let traces = contest.traces();
            let agreeing = traces
                .signed
                .iter()
                .filter(|signed| signed.outcome == given);
            let others = agreeing.map(|signed| signed.worker);
            router.0.outbox.send(Message::Audit(Audit {
                query,
                winner,
                finding,
                verifiers: others.filter(|worker| *worker != winner).collect(),
                dissenters: traces.dissenters(given),
            }));
            let decided = decision.map(|decision| decision.outcome);
            router.look_into(traces, decided);
        });
    }

    /// Looks into a disagreement, off the query's path.
    fn look_into(&self, traces: Traces, decided: Option<Outcome>) {
        let disputed = match decided {
            Some(decided) => traces.is_disputed(decided),
            None => {
                let mut outcomes = traces.signed.iter().map(|signed| signed.outcome);
                let first = outcomes.next();
                !traces.dishonest.is_empty() || outcomes.any(|other| Some(other) != first)
            }
        };
        if !disputed {
            return;
        }
        metrics::counter!("streamsync_router_dissent_total").increment(1);
        let Ok(permit) = Arc::clone(&self.0.disputes).try_acquire_owned() else {
            return;
        };
        let router = self.clone();
        tokio::spawn(async move {
            dispute::settle(&router, traces, decided).await;
            drop(permit);
        });
    }
}
