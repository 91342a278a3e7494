//! The load: clients of every kind, until they are told to stop.

use crate::{
    checker::Answer,
    client::{Client, Outcome, SLACK},
    question::{Question, Subjects},
    tally::Tally,
    violation::Violations,
};
use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::{ops::Range, time::Duration};
use streamsync_core::clock::{Clock, SystemClock};
use tokio::{sync::mpsc, task::JoinSet};
use tokio_util::sync::CancellationToken;

/// How many clients ask at the same time, three with each account.
pub const ASKERS: usize = 12;
pub const ACCOUNTS: usize = ASKERS / 3;
/// The deadline of ordinary queries, in milliseconds.
const DEADLINE_MS: u64 = 5_000;
/// How often a client that is told to come back does.
const RETRIES: usize = 4;
/// Until a client asks again, in milliseconds.
const PAUSE: Range<u64> = 1..40;
/// Until a client asks again that was cut off: a router that is dead would cut it off hundreds of times.
const CUT_OFF_PAUSE: Duration = Duration::from_millis(200);
/// What may be said to any query: there is no telling when the network is well enough.
const PASSING: [&str; 10] = [
    "busy",
    "no-quorum",
    "deadline",
    "too-few-workers",
    "not-ready",
    "registry",
    "lake",
    "unknown-key",
    "key-revoked",
    "credit",
];

/// Queries that have an error of their own, and which.
const BAD: [(&str, &str); 8] = [
    ("select 1 +", "unparsable"),
    ("select * from nowhere", "unknown-table"),
    ("select nothing from blocks", "invalid-query"),
    ("select 1; select 2", "not-one-statement"),
    ("insert into blocks values (1)", "not-a-select"),
    ("select random()", "function-not-allowed"),
    ("select $1", "parameter-count"),
    ("select leader::bigint from blocks", "failed-on-data"),
];

/// Takes hours.
const ENDLESS: &str = "select count(*) from range(10000000) as a, range(10000000) as b where (a.range * b.range) % 7 = 3";

/// What clients share. Cheap to clone.
#[derive(Clone)]
pub struct Load {
    pub client: Client,
    pub routers: usize,
    pub subjects: Subjects,
    pub answers: mpsc::UnboundedSender<Answer>,
    pub tally: Tally,
    pub violations: Violations,
}

impl Load {
    /// Asks until told to stop. Ends when all clients have what they asked for last.
    pub async fn run(self, seed: u64, stop: CancellationToken) {
        let mut askers = JoinSet::new();
        for number in 0..ASKERS {
            let (load, stop) = (self.clone(), stop.clone());
            askers.spawn(async move {
                let mut random = ChaCha8Rng::seed_from_u64(seed.wrapping_add(1 + number as u64));
                while !stop.is_cancelled() {
                    load.turn(number % ACCOUNTS, &mut random).await;
                    let pause = Duration::from_millis(random.random_range(PAUSE));
                    tokio::time::sleep(pause).await;
                }
            });
        }
        while let Some(ended) = askers.join_next().await {
            ended.unwrap();
        }
    }

    async fn turn(&self, client: usize, random: &mut ChaCha8Rng) {
        let router = random.random_range(0..self.routers);
        match random.random_range(0..100) {
            0..80 => {
                let question = Question::any(random, &self.subjects);
                self.question(client, router, question, random).await;
            }
            80..90 => {
                let (sql, kind) = BAD.choose(random).unwrap();
                let body = json!({ "sql": sql, "deadline_ms": DEADLINE_MS });
                self.expect(client, router, &body, kind).await;
            }
            90..92 => {
                let body = json!({ "sql": "select 1", "max_price": 1, "deadline_ms": DEADLINE_MS });
                self.expect(client, router, &body, "price").await;
            }
            92..94 => {
                let body = json!({ "sql": ENDLESS, "deadline_ms": random.random_range(100..600) });
                self.expect(client, router, &body, "deadline").await;
            }
            _ => {
                let question = Question::any(random, &self.subjects);
                let body = body(&question, random);
                let patience = Duration::from_millis(random.random_range(1..80));
                let asking = self.client.ask(client, router, &body);
                if let Ok(outcome) = tokio::time::timeout(patience, asking).await {
                    self.take(question, outcome).await;
                } else {
                    self.tally.add("hung up");
                }
            }
        }
    }

    /// Asks a question, and again where the network says when. True if it was answered.
    pub async fn question(
        &self,
        client: usize,
        router: usize,
        question: Question,
        random: &mut ChaCha8Rng,
    ) -> bool {
        for attempt in 0..=RETRIES {
            let body = body(&question, random);
            let outcome = self.client.ask(client, router, &body).await;
            if let Outcome::Refused {
                kind,
                retry_after: Some(after),
            } = &outcome
                && attempt < RETRIES
            {
                self.tally.add(format!("{kind}, asked again"));
                tokio::time::sleep((*after).min(SLACK)).await;
                continue;
            }
            return self.take(question, outcome).await;
        }
        false
    }

    /// Takes what came of a question: an answer goes to who checks it.
    async fn take(&self, question: Question, outcome: Outcome) -> bool {
        let (query, headers, body) = match outcome {
            Outcome::Answered {
                query,
                headers,
                body,
            } => (query, headers, body),
            Outcome::Refused { kind, .. } => {
                if !PASSING.contains(&kind.as_str()) {
                    let what = format!("{question:?} was refused: {kind}");
                    self.violations.note(what);
                }
                self.tally.add(kind);
                return false;
            }
            Outcome::CutOff => {
                self.cut_off().await;
                return false;
            }
        };
        self.tally.add(format!("answered {}", question.kind()));
        self.tally.add("answered");
        let snapshot = headers.get("streamsync-snapshot");
        let snapshot = snapshot.and_then(|text| text.to_str().ok()?.parse().ok());
        let answer = Answer {
            question,
            snapshot: snapshot.unwrap_or_default(),
            rows: body["rows"].clone(),
            query,
            at: SystemClock.monotonic(),
        };
        self.answers.send(answer).unwrap();
        true
    }

    /// Asks what has an error of its own.
    async fn expect(&self, client: usize, router: usize, body: &Value, expected: &str) {
        match self.client.ask(client, router, body).await {
            Outcome::Answered { body: rows, .. } => {
                let what = format!("{body} was answered: {rows}; right is {expected}");
                self.violations.note(what);
            }
            Outcome::Refused { kind, .. } if kind == expected => {
                self.tally.add("rightly refused");
            }
            Outcome::Refused { kind, .. } => {
                if !PASSING.contains(&kind.as_str()) {
                    let what = format!("{body} was refused as {kind}; right is {expected}");
                    self.violations.note(what);
                }
                self.tally.add(kind);
            }
            Outcome::CutOff => self.cut_off().await,
        }
    }

    async fn cut_off(&self) {
        self.tally.add("cut off");
        tokio::time::sleep(CUT_OFF_PAUSE).await;
    }
}

/// The body of a question, confirmed at once or later.
fn body(question: &Question, random: &mut ChaCha8Rng) -> Value {
    let mut body = question.body();
    body["deadline_ms"] = json!(DEADLINE_MS);
    if random.random_bool(0.2) {
        body["verify"] = json!("fast");
    }
    body
}
