//! The most memory that a worker takes under a load ten times larger than what it may.

use crate::{
    Fallible, child,
    lake::{self, FIRST_DAY, PARTS, token_balances::DAYS},
    machine,
    options::{Flags, Place, cores, profile_name},
    question::{LOOKUPS, Planner, Question},
    report::{Report, count},
    sample,
    subject::Subject,
};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use streamsync_core::{Parameter, config::Profile};
use streamsync_lake::tables::BUCKETS;
use streamsync_worker::ExecuteError;

/// The peak may be this part of the configured memory, besides the base.
const OF_MEMORY: f64 = 1.1;
/// The load is this many times the memory.
const LOAD: u64 = 10;
/// The least memory that a worker can be given, in MiB.
const LEAST_MIB: u64 = 64;
/// Tasks that ask, for each core.
const TASKS: usize = 4;

/// What the child process says.
#[derive(Default, Deserialize, Serialize)]
struct Said {
    /// Bytes of the open worker that has answered one small query.
    base: u64,
    /// The most bytes that it ever had.
    peak: u64,
    answered: u64,
    /// Answers that were none, by reason.
    failed: BTreeMap<String, u64>,
}

/// The bytes of the lake's rows, as Arrow in memory.
fn load_bytes(scale: u64) -> u64 {
    let parts = PARTS.iter();
    parts.map(|part| part.rows * part.row_bytes * scale).sum()
}

/// A tenth of the load, if a worker can be given as little.
fn memory_mib(scale: u64) -> u64 {
    ((load_bytes(scale) / LOAD) >> 20).max(LEAST_MIB)
}

/// Measures, in a process of its own.
pub async fn run(flags: &Flags) -> Fallible<Vec<Report>> {
    let Flags { place, setting } = flags;
    lake::open(place, place.scale).await?;
    let config = setting.worker(memory_mib(place.scale), Profile::Cache);
    let mut arguments = place.arguments();
    arguments.extend(setting.arguments());
    let said: Said = child::run("memory-child", &arguments, &[])?;
    let load = load_bytes(place.scale);
    let mib = |bytes: u64| format!("{} MiB", count((bytes >> 20) as f64));
    let mut report = Report::new(&format!("memory under load at {}×", place.scale));
    report.fact("memory_bytes", mib(config.memory_bytes));
    report.fact("worker's profile", profile_name(config.profile));
    report.fact(
        "load",
        format!(
            "{} of rows as Arrow, {:.1} times memory_bytes, asked for by {} tasks at once",
            mib(load),
            load as f64 / config.memory_bytes as f64,
            TASKS * cores()
        ),
    );
    report.fact(
        "base: an open worker that has answered `SELECT 1`",
        mib(said.base),
    );
    report.fact("peak", mib(said.peak));
    report.fact("answered", count(said.answered as f64));
    report.fact("failed", format!("{:?}", said.failed));
    if load < LOAD * config.memory_bytes {
        report.fact(
            "not judged",
            "the lake is too small for such a load: use a larger scale",
        );
    } else {
        report.at_most(
            "(peak − base) / memory_bytes",
            said.peak.saturating_sub(said.base) as f64 / config.memory_bytes as f64,
            "",
            OF_MEMORY,
        );
    }
    Ok(vec![report])
}

/// The child process: asks for everything, many at once, and says what memory that took.
pub async fn child(flags: &Flags) -> Fallible<()> {
    let Flags { place, setting } = flags;
    let lake = lake::at(place, place.scale)?;
    let planner = Planner::open(&lake).await?;
    let questions = Arc::new(questions(place, &planner).await?);
    let config = setting.worker(memory_mib(place.scale), Profile::Cache);
    let subject = Subject::open(place, &config, &lake).await?;
    subject
        .time(&planner.plan("SELECT 1", vec![]).await?)
        .await?;
    let base = machine::memory("VmRSS").ok_or("this system does not tell its memory")?;
    let said = Arc::new(Mutex::new(Said {
        base,
        ..Said::default()
    }));
    let next = Arc::new(AtomicUsize::new(0));
    let began = sample::now();
    let time = Duration::from_secs_f64(place.seconds * 10.0);
    let tasks: Vec<_> = (0..TASKS * cores())
        .map(|_| {
            let (subject, questions) = (subject.clone(), Arc::clone(&questions));
            let (said, next) = (Arc::clone(&said), Arc::clone(&next));
            tokio::spawn(async move {
                loop {
                    let turn = next.fetch_add(1, Ordering::SeqCst);
                    // Everything is asked for at least once.
                    if turn >= questions.len() && sample::now() - began > time {
                        break;
                    }
                    let query = questions[turn % questions.len()].query.clone();
                    let answer = subject.worker().execute(query).await;
                    let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
                    match answer {
                        Ok(_) => said.answered += 1,
                        Err(error) => *said.failed.entry(reason(&error)).or_default() += 1,
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await?;
    }
    let mut said = std::mem::take(&mut *said.lock().unwrap_or_else(PoisonError::into_inner));
    said.peak = machine::memory("VmHWM").ok_or("this system does not tell its memory")?;
    println!("{}", serde_json::to_string(&said)?);
    Ok(())
}

fn reason(error: &ExecuteError) -> String {
    match error {
        ExecuteError::Busy(_) => "busy".to_owned(),
        ExecuteError::OutOfMemory(_) => "out of memory".to_owned(),
        other => other.to_string(),
    }
}

/// Everything in the lake, by partition, with lookups in between.
async fn questions(place: &Place, planner: &Planner) -> Fallible<Vec<Question>> {
    let mut lookups = Vec::new();
    for lookup in &LOOKUPS {
        let keys = lookup.keys(place.seed, place.scale, 2 * BUCKETS as usize);
        lookups.extend(lookup.questions(planner, &keys).await?);
    }
    let mut questions = Vec::new();
    for bucket in 0..BUCKETS {
        for sql in [
            "SELECT count(*) AS n, max(signature) AS last, sum(slot) AS slots, \
             sum(transaction_index) AS places FROM signatures WHERE bucket = $1",
            "SELECT account, count(*) AS n, max(slot) AS last FROM account_transactions \
             WHERE bucket = $1 GROUP BY account ORDER BY n DESC, account LIMIT 10",
        ] {
            let parameters = vec![Parameter::Integer(bucket.into())];
            questions.push(planner.plan(sql, parameters).await?);
            questions.extend(lookups.pop());
        }
        if bucket < DAYS {
            let sql = "SELECT account, owner, mint, count(*) AS n, max(post_amount) AS most \
                       FROM token_balances WHERE date = $1 GROUP BY account, owner, mint \
                       ORDER BY n DESC, account, owner, mint LIMIT 10";
            let parameters = vec![Parameter::Date(FIRST_DAY + bucket)];
            questions.push(planner.plan(sql, parameters).await?);
        }
    }
    questions.extend(lookups);
    Ok(questions)
}
