//! A race with real workers: asks them over the network, as the [`Race`] decides.

use crate::{
    outbox::Outbox,
    racer::{self, RacerError, Reply, Rows, Workers},
};
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::{
    collections::{BTreeMap, HashMap},
    fmt,
    sync::Arc,
    time::Duration,
};
use streamsync_core::{Class, Outcome, Query, Refusal, SignedAnswer, WorkerId, clock::SharedClock};
use streamsync_race::{Choice, Decision, Failure, Member, Race, Rules, State};
use streamsync_registry::Offence;
use tracing::Instrument;

/// What became of one racer.
#[derive(Clone, Debug, Serialize)]
pub struct RacerReport {
    /// The worker.
    pub worker: WorkerId,
    /// What it did, in words.
    pub result: String,
    /// When, in milliseconds after the race began.
    pub after_ms: u64,
}

/// Why a race has no winner.
#[derive(Debug, thiserror::Error)]
pub enum RaceError {
    /// Too few workers are alive.
    #[error(
        "{alive} workers are alive and {needed} have to agree; start more workers, or ask with \
         \"verify\": \"fast\", which needs one"
    )]
    TooFew {
        /// Workers that are healthy or suspect.
        alive: usize,
        /// Workers that have to agree.
        needed: usize,
    },
    /// Racers agree that the query is at fault.
    #[error("{detail}")]
    Refused {
        /// How.
        refusal: Refusal,
        /// In the words of the first.
        detail: String,
    },
    /// All workers are busy.
    #[error("all racers are busy; come back later")]
    Busy {
        /// Every racer.
        racers: Vec<RacerReport>,
    },
    /// The time was over before enough of them agreed.
    #[error("the deadline passed before {needed} workers agreed")]
    Deadline {
        /// Workers that had to agree.
        needed: usize,
        /// Every racer that had answered.
        racers: Vec<RacerReport>,
    },
    /// All have answered, and too few agree.
    #[error("no {needed} workers agree on an answer")]
    NoQuorum {
        /// Workers that had to agree.
        needed: usize,
        /// Every racer.
        racers: Vec<RacerReport>,
    },
}

/// The outcome of a race that was won.
#[derive(Debug)]
pub(crate) struct Won {
    pub(crate) winner: WorkerId,
    pub(crate) outcome: Outcome,
    pub(crate) rows: Rows,
    pub(crate) verifiers: Vec<WorkerId>,
    /// How many operators those have who agree.
    pub(crate) operators: usize,
    /// When it was decided, and when the rows were there, by the router's clock.
    pub(crate) decided_at: Duration,
}

/// What a race leaves behind: what every racer has signed, and who was dishonest.
#[derive(Debug)]
pub(crate) struct Traces {
    pub(crate) query: Arc<Query>,
    pub(crate) class: Class,
    pub(crate) asked: Vec<WorkerId>,
    pub(crate) signed: Vec<SignedAnswer>,
    pub(crate) dishonest: BTreeMap<WorkerId, Offence>,
}

impl Traces {
    /// Who answered otherwise.
    pub(crate) fn dissenters(&self, decided: Outcome) -> Vec<WorkerId> {
        let others = self.signed.iter();
        let others = others.filter(|signed| signed.outcome != decided);
        let others = others.map(|signed| signed.worker);
        // Those who could not keep up what they signed stand here once.
        let honest = others.filter(|worker| !self.dishonest.contains_key(worker));
        honest.chain(self.dishonest.keys().copied()).collect()
    }

    /// Whether there is anything to look into.
    pub(crate) fn is_disputed(&self, decided: Outcome) -> bool {
        !self.dissenters(decided).is_empty()
    }
}

/// What a racer did.
enum Told {
    Answered(Outcome),
    Failed(String),
}

impl fmt::Display for Told {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered(Outcome::Rows { digest, rows }) => {
                write!(formatter, "{rows} rows, digest {digest}")
            }
            Self::Answered(Outcome::Refused(refusal)) => {
                write!(formatter, "refused the query: {refusal:?}")
            }
            Self::Failed(error) => formatter.write_str(error),
        }
    }
}

type Running = BoxFuture<'static, (WorkerId, Result<Reply, RacerError>)>;

/// A race under way. Dropping it hangs up on all racers, which stops them.
pub(crate) struct Contest {
    workers: Workers,
    outbox: Outbox,
    race: Race<Outcome>,
    needed: usize,
    running: FuturesUnordered<Running>,
    /// Answers whose rows were not fetched yet.
    replies: HashMap<WorkerId, Reply>,
    told: Vec<(WorkerId, Told, Duration)>,
    traces: Traces,
    busy: usize,
    stall: Duration,
    random: ChaCha8Rng,
    clock: SharedClock,
    began: Duration,
    deadline: Duration,
}

/// What a contest needs besides the query.
pub(crate) struct Field {
    pub(crate) workers: Workers,
    pub(crate) outbox: Outbox,
    pub(crate) choice: Choice,
    pub(crate) rules: Rules,
    pub(crate) stall: Duration,
    pub(crate) random: ChaCha8Rng,
    pub(crate) clock: SharedClock,
    /// When the time is over, by the clock.
    pub(crate) deadline: Duration,
}

impl Contest {
    /// Lets the race begin.
    pub(crate) fn start(query: Query, field: Field) -> Self {
        let began = field.clock.monotonic();
        let (race, asked) = Race::start(field.rules, field.choice, began);
        let mut contest = Self {
            workers: field.workers,
            outbox: field.outbox,
            race,
            needed: field.rules.needed,
            running: FuturesUnordered::new(),
            replies: HashMap::new(),
            told: Vec::new(),
            traces: Traces {
                query: Arc::new(query),
                class: field.rules.class,
                asked: Vec::new(),
                signed: Vec::new(),
                dishonest: BTreeMap::new(),
            },
            busy: 0,
            stall: field.stall,
            random: field.random,
            clock: field.clock,
            began,
            deadline: field.deadline,
        };
        contest.ask(asked);
        contest
    }

    fn now(&self) -> Duration {
        self.clock.monotonic()
    }

    fn ask(&mut self, members: Vec<Arc<Member>>) {
        if members.is_empty() {
            return;
        }
        let left = self.deadline.saturating_sub(self.now());
        let time_left_ms = u64::try_from(left.as_millis()).unwrap_or(u64::MAX).max(1);
        // The query is written once for all who are asked at the same time.
        let body = racer::body(&self.traces.query, time_left_ms);
        for member in members {
            let heartbeat = Arc::clone(&member.known.heartbeat);
            self.traces.asked.push(heartbeat.worker);
            let (workers, query) = (self.workers.clone(), Arc::clone(&self.traces.query));
            let body = body.clone();
            let span = tracing::debug_span!("ask", worker = %heartbeat.worker);
            let asking = async move {
                let reply = workers.ask(&heartbeat, &query, body).await;
                (heartbeat.worker, reply)
            };
            self.running.push(Box::pin(asking.instrument(span)));
        }
    }

    /// Runs until enough racers agree and one of them has delivered, or the time is over.
    pub(crate) async fn finish(&mut self) -> Result<Won, RaceError> {
        let left = self.deadline.saturating_sub(self.now());
        let result = match tokio::time::timeout(left, self.run()).await {
            Ok(result) => result,
            Err(_over) => Err(RaceError::Deadline {
                needed: self.needed,
                racers: self.reports(),
            }),
        };
        if let Err(error) = &result {
            // Whether the query or the racers took too long is told by whether anyone answered.
            let late = matches!(error, RaceError::Deadline { .. });
            let blame = late && !self.traces.signed.is_empty();
            self.close(None, blame);
        }
        result
    }

    /// Ends the race and hangs up on who still runs. What it has shown of the racers is told to the
    /// network.
    pub(crate) fn close(&mut self, decided: Option<Outcome>, blame: bool) {
        let (now, jitter) = (self.now(), self.random.random());
        let observed = self.race.close(decided.as_ref(), blame, now, jitter);
        self.outbox.observe(observed);
        self.running.clear();
        self.replies.clear();
    }

    /// What the race leaves behind, once it is closed.
    pub(crate) fn traces(self) -> Traces {
        self.traces
    }

    /// See [`Traces::dissenters`].
    pub(crate) fn dissenters(&self, decided: Outcome) -> Vec<WorkerId> {
        self.traces.dissenters(decided)
    }

    async fn run(&mut self) -> Result<Won, RaceError> {
        loop {
            let decision = self.decide().await?;
            let decided_at = self.now();
            if let Some((winner, rows)) = self.award(&decision).await? {
                let verifiers = decision.agreed.into_iter();
                return Ok(Won {
                    winner,
                    outcome: decision.outcome,
                    rows,
                    verifiers: verifiers.filter(|worker| *worker != winner).collect(),
                    operators: decision.operators,
                    decided_at,
                });
            }
        }
    }

    /// Runs until enough racers agree.
    async fn decide(&mut self) -> Result<Decision<Outcome>, RaceError> {
        loop {
            match self.race.state() {
                State::Decided(decision) => return Ok(decision),
                State::Lost => return Err(self.lost()),
                State::Running => {}
            }
            let hedge = self.race.hedge_at();
            let hedge_in = hedge.map(|at| at.saturating_sub(self.now()));
            tokio::select! {
                biased;
                Some((worker, reply)) = self.running.next() => self.heard(worker, reply),
                () = tokio::time::sleep(hedge_in.unwrap_or_default()), if hedge_in.is_some() => {
                    let asked = self.race.hedge(self.now());
                    self.ask(asked);
                }
            }
        }
    }

    fn heard(&mut self, worker: WorkerId, reply: Result<Reply, RacerError>) {
        match reply {
            Ok(reply) => {
                let outcome = reply.signed.outcome;
                self.tell(worker, Told::Answered(outcome));
                self.traces.signed.push(reply.signed.clone());
                self.replies.insert(worker, reply);
                let asked = self.race.answered(worker, outcome, self.now());
                self.ask(asked);
            }
            Err(error) => {
                let failure = self.failed(worker, &error);
                let (now, jitter) = (self.now(), self.random.random());
                let asked = self.race.failed(worker, failure, now, jitter);
                self.ask(asked);
            }
        }
    }

    /// Fetches the rows of the first that can really send what it signed. `None` if nobody can.
    async fn award(
        &mut self,
        decision: &Decision<Outcome>,
    ) -> Result<Option<(WorkerId, Rows)>, RaceError> {
        if let Outcome::Refused(refusal) = decision.outcome {
            let first = decision.agreed.first();
            let reply = first.and_then(|worker| self.replies.remove(worker));
            let detail = reply.and_then(|reply| reply.detail).unwrap_or_default();
            self.close(Some(decision.outcome), false);
            return Err(RaceError::Refused { refusal, detail });
        }
        for worker in &decision.agreed {
            let Some(mut reply) = self.replies.remove(worker) else {
                continue;
            };
            match reply.rows(&self.traces.query, self.stall).await {
                Ok(rows) => return Ok(Some((*worker, rows))),
                Err(error) => {
                    let failure = self.failed(*worker, &error);
                    let (now, jitter) = (self.now(), self.random.random());
                    let asked = self.race.withdrawn(*worker, failure, now, jitter);
                    self.ask(asked);
                    // Its answer does not count any more, so it has to be decided anew.
                    return Ok(None);
                }
            }
        }
        Ok(None)
    }

    fn failed(&mut self, worker: WorkerId, error: &RacerError) -> Failure {
        self.tell(worker, Told::Failed(error.to_string()));
        match error {
            RacerError::Busy => {
                self.busy += 1;
                Failure::Busy
            }
            error if error.is_dishonest() => {
                let query = self.traces.query.id;
                tracing::warn!(%query, %worker, %error, "a racer is not honest");
                metrics::counter!("streamsync_router_dishonest_total").increment(1);
                self.traces.dishonest.insert(worker, Offence::Dishonest);
                Failure::Dishonest
            }
            _ => Failure::Broken,
        }
    }

    fn tell(&mut self, worker: WorkerId, told: Told) {
        let after = self.now().saturating_sub(self.began);
        self.told.push((worker, told, after));
    }

    /// What became of each racer, in words. Only races that nobody won need them.
    fn reports(&self) -> Vec<RacerReport> {
        let told = self.told.iter().map(|(worker, told, after)| RacerReport {
            worker: *worker,
            result: told.to_string(),
            after_ms: u64::try_from(after.as_millis()).unwrap_or(u64::MAX),
        });
        told.collect()
    }

    fn lost(&self) -> RaceError {
        let racers = self.reports();
        if !racers.is_empty() && self.busy == racers.len() {
            RaceError::Busy { racers }
        } else {
            let needed = self.needed;
            RaceError::NoQuorum { needed, racers }
        }
    }

    /// Lets the race go on after an answer was given, until so many agree on one or the time is
    /// over. Returns what they agree on.
    pub(crate) async fn audit(&mut self, needed: usize) -> Option<Decision<Outcome>> {
        self.needed = needed;
        let asked = self.race.require(needed, self.now());
        self.ask(asked);
        let left = self.deadline.saturating_sub(self.now());
        let decision = tokio::time::timeout(left, self.decide()).await;
        let decision = decision.ok().and_then(Result::ok);
        let outcome = decision.as_ref().map(|decision| decision.outcome);
        self.close(outcome, false);
        decision
    }
}
