//! From the start of a process to its first answer, with nothing in the cache.

use crate::{
    Fallible, child, lake,
    options::{Flags, profile_name},
    question::{LOOKUPS, Planner, Question},
    report::Report,
    sample::{self, Sample},
    subject::Subject,
};
use serde::{Deserialize, Serialize};
use std::{io::Read, time::Duration};
use streamsync_core::{Query, config::Profile};

/// The first answer may take this long, in microseconds.
const FIRST_ANSWER_US: f64 = 500_000.0;
const RUNS: usize = 11;

/// What the child process says.
#[derive(Deserialize, Serialize)]
struct Said {
    /// Microseconds that opening the lake and the worker took.
    open_us: u64,
    /// Microseconds that the first answer took.
    answer_us: u64,
    rows: usize,
}

/// Measures, from before the process is started to after it has ended.
pub async fn run(flags: &Flags) -> Fallible<Vec<Report>> {
    let Flags { place, setting } = flags;
    let lake = lake::open(place, place.scale).await?;
    let planner = Planner::open(&lake).await?;
    let lookup = &LOOKUPS[0];
    let keys = lookup.keys(place.seed, place.scale, RUNS);
    let mut arguments = place.arguments();
    arguments.extend(setting.arguments());
    let (mut all, mut open, mut answer) = <(Sample, Sample, Sample)>::default();
    for question in lookup.questions(&planner, &keys).await? {
        let query = serde_json::to_vec(&question.query)?;
        let began = sample::now();
        let said: Said = child::run("start-child", &arguments, &query)?;
        all.add([sample::now() - began]);
        open.add([Duration::from_micros(said.open_us)]);
        answer.add([Duration::from_micros(said.answer_us)]);
        if said.rows != 1 {
            return Err(format!("the first answer has {} rows, not one", said.rows).into());
        }
    }
    let mut report = Report::new(&format!("start to first cold answer at {}×", place.scale));
    report.fact("query", lookup.sql);
    report.fact(
        "measured",
        "a new process of the benchmark, from its start to its end: it opens a worker and asks it \
         once. Redis and HTTP, which the command has too, are not part of it",
    );
    let profile = setting.worker(2 << 10, Profile::Cache).profile;
    report.fact("worker's profile", profile_name(profile));
    report.timing("the process", &all, None);
    report.timing("of that, opening lake and worker", &open, None);
    report.timing("of that, the answer", &answer, None);
    report.at_most(
        "slowest of all starts",
        all.quantile(1.0),
        "us",
        FIRST_ANSWER_US,
    );
    Ok(vec![report])
}

/// The child process: opens a worker, answers the query on its standard input, says how long that
/// took.
pub async fn child(flags: &Flags) -> Fallible<()> {
    let Flags { place, setting } = flags;
    let mut query = Vec::new();
    std::io::stdin().read_to_end(&mut query)?;
    let query: Query = serde_json::from_slice(&query)?;
    let began = sample::now();
    let lake = lake::at(place, place.scale)?;
    let config = setting.worker(2 << 10, Profile::Cache);
    let subject = Subject::open(place, &config, &lake).await?;
    let opened = sample::now();
    let question = Question {
        query,
        files: Vec::new(),
    };
    let rows = subject.rows(&question).await?;
    let said = Said {
        open_us: u64::try_from((opened - began).as_micros())?,
        answer_us: u64::try_from((sample::now() - opened).as_micros())?,
        rows: rows.len(),
    };
    println!("{}", serde_json::to_string(&said)?);
    Ok(())
}
