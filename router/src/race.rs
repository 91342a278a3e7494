//! The race: several workers answer at once, and the first answer that others confirm wins.

use crate::{
    racer::{self, RacerError, Reply, Rows},
    verdict::Votes,
};
use futures::{StreamExt, future::BoxFuture, stream::FuturesUnordered};
use reqwest::Client;
use serde::Serialize;
use std::{sync::Arc, time::Duration};
use streamsync_core::{Outcome, Query, Refusal, SignedAnswer, WorkerId, clock::SharedClock};
use streamsync_registry::{Heartbeat, RegisteredWorker};

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
    pub(crate) winner: SignedAnswer,
    pub(crate) rows: Rows,
    pub(crate) verifiers: Vec<SignedAnswer>,
    /// Workers that answered otherwise, each with its signed answer as evidence.
    pub(crate) dissenters: Vec<SignedAnswer>,
    /// Workers whose answers were no answers.
    pub(crate) liars: Vec<WorkerId>,
}

type Running = BoxFuture<'static, (Heartbeat, Result<Reply, RacerError>)>;

/// A race under way. Dropping it hangs up on all racers, which stops them.
pub(crate) struct Race {
    client: Client,
    query: Arc<Query>,
    reserves: std::vec::IntoIter<RegisteredWorker>,
    running: FuturesUnordered<Running>,
    votes: Votes,
    reports: Vec<RacerReport>,
    liars: Vec<WorkerId>,
    busy: usize,
    clock: SharedClock,
    began: Duration,
}

impl Race {
    /// Lets the first `racers` of the candidates run; the others are reserves.
    pub(crate) fn start(
        client: Client,
        query: Query,
        candidates: Vec<RegisteredWorker>,
        racers: usize,
        clock: SharedClock,
    ) -> Self {
        let began = clock.monotonic();
        let mut race = Self {
            client,
            query: Arc::new(query),
            reserves: candidates.into_iter(),
            running: FuturesUnordered::new(),
            votes: Votes::default(),
            reports: Vec::new(),
            liars: Vec::new(),
            busy: 0,
            clock,
            began,
        };
        (0..racers).for_each(|_| race.send_next());
        race
    }

    fn send_next(&mut self) {
        let Some(worker) = self.reserves.next() else {
            return;
        };
        let (client, query) = (self.client.clone(), Arc::clone(&self.query));
        let worker = worker.heartbeat;
        self.running.push(Box::pin(async move {
            let reply = racer::ask(&client, &worker, &query).await;
            (worker, reply)
        }));
    }

    /// Runs until so many racers agree, or the time is over.
    pub(crate) async fn finish(&mut self, needed: usize) -> Result<Won, RaceError> {
        let time_left = Duration::from_millis(self.query.time_left_ms);
        match tokio::time::timeout(time_left, self.run(needed)).await {
            Ok(result) => result,
            Err(_over) => Err(RaceError::Deadline {
                needed,
                racers: std::mem::take(&mut self.reports),
            }),
        }
    }

    async fn run(&mut self, needed: usize) -> Result<Won, RaceError> {
        loop {
            if let Some(agreed) = self.votes.decided(needed)
                && let Some(won) = self.award(agreed, needed).await?
            {
                return Ok(won);
            }
            let Some((worker, reply)) = self.running.next().await else {
                return Err(self.lost(needed));
            };
            match reply {
                Ok(reply) => {
                    self.report(worker.worker, described(&reply));
                    self.votes.count(reply);
                }
                Err(error) => {
                    self.failed(worker.worker, &error);
                }
            }
            // Whoever failed or differs is replaced, as long as there are reserves.
            if self.running.is_empty() {
                self.send_next();
            }
        }
    }

    /// Fetches the rows of the first that can really send what it signed.
    async fn award(
        &mut self,
        mut agreed: Vec<Reply>,
        needed: usize,
    ) -> Result<Option<Won>, RaceError> {
        let first = agreed
            .first()
            .map(|reply| (reply.signed.outcome, reply.detail.clone()));
        if let Some((Outcome::Refused(refusal), detail)) = first {
            let detail = detail.unwrap_or_default();
            return Err(RaceError::Refused { refusal, detail });
        }
        while agreed.len() >= needed {
            let mut winner = agreed.remove(0);
            match winner.rows(&self.query).await {
                Ok(rows) => return Ok(Some(self.won(winner, rows, agreed))),
                Err(error) => self.failed(winner.signed.worker, &error),
            }
        }
        self.votes.put_back(agreed);
        self.send_next();
        Ok(None)
    }

    fn won(&mut self, winner: Reply, rows: Rows, verifiers: Vec<Reply>) -> Won {
        let signed = |replies: Vec<Reply>| replies.into_iter().map(|reply| reply.signed).collect();
        Won {
            winner: winner.signed,
            rows,
            verifiers: signed(verifiers),
            dissenters: signed(std::mem::take(&mut self.votes).dissenters()),
            liars: std::mem::take(&mut self.liars),
        }
    }

    fn failed(&mut self, worker: WorkerId, error: &RacerError) {
        if error.is_dishonest() {
            tracing::warn!(query = %self.query.id, %worker, %error, "a racer is not honest");
            metrics::counter!("streamsync_router_dishonest_total").increment(1);
            self.liars.push(worker);
        }
        self.busy += usize::from(matches!(error, RacerError::Busy));
        self.report(worker, error.to_string());
        self.send_next();
    }

    fn report(&mut self, worker: WorkerId, result: String) {
        let after = self.clock.monotonic().saturating_sub(self.began);
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        self.reports.push(RacerReport {
            worker,
            result,
            after_ms,
        });
    }

    fn lost(&mut self, needed: usize) -> RaceError {
        let racers = std::mem::take(&mut self.reports);
        if !racers.is_empty() && self.busy == racers.len() {
            RaceError::Busy { racers }
        } else {
            RaceError::NoQuorum { needed, racers }
        }
    }

    /// Compares what the remaining racers answer with the answer that was given already. Returns
    /// those that differ.
    pub(crate) async fn audit(&mut self, given: Outcome) -> Vec<SignedAnswer> {
        let mut differing = Vec::new();
        let time_left = Duration::from_millis(self.query.time_left_ms);
        let compare = async {
            while let Some((_, reply)) = self.running.next().await {
                if let Ok(reply) = reply
                    && reply.signed.outcome != given
                {
                    differing.push(reply.signed);
                }
            }
        };
        let _ = tokio::time::timeout(time_left, compare).await;
        differing
    }
}

fn described(reply: &Reply) -> String {
    match reply.signed.outcome {
        Outcome::Rows { digest, rows } => format!("{rows} rows, digest {digest}"),
        Outcome::Refused(refusal) => format!("refused the query: {refusal:?}"),
    }
}
