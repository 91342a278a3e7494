//! Lookups while a scan of everything runs, against lookups alone.

use crate::{
    Fallible, lake,
    options::{Flags, profile_name},
    question::{LOOKUPS, Planner, Question, scans},
    report::{Report, count},
    sample::{self, Sample},
    subject::Subject,
};
use std::{sync::Arc, time::Duration};
use streamsync_core::config::Profile;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// How much longer the 99th of 100 lookups may take while a scan runs.
const OVER_ALONE: f64 = 3.0;
const KEYS: usize = 256;
/// How often lookups are measured alone and with a scan.
const TURNS: u32 = 5;

/// Measures.
pub async fn run(flags: &Flags) -> Fallible<Vec<Report>> {
    let Flags { place, setting } = flags;
    let config = setting.worker(8 << 10, Profile::Cache);
    let lake = lake::open(place, place.scale).await?;
    let planner = Planner::open(&lake).await?;
    let lookup = &LOOKUPS[0];
    let keys = lookup.keys(place.seed, place.scale, KEYS);
    let questions = Arc::new(lookup.questions(&planner, &keys).await?);
    let scan = scans().remove(1);
    let scan = Arc::new(vec![planner.plan(scan.sql, scan.parameters).await?]);
    let subject = Subject::open(place, &config, &lake).await?;
    for _ in 0..2 {
        subject.round(&questions).await?;
        subject.round(&scan).await?;
    }
    let (mut alone, mut beside, mut scans) = <(Sample, Sample, Sample)>::default();
    let time = Duration::from_secs_f64(place.seconds * 2.0) / TURNS;
    for _ in 0..TURNS {
        alone.merge(lookups(&subject, &questions, time).await?);
        let running = scan_until_stopped(subject.clone(), Arc::clone(&scan));
        beside.merge(lookups(&subject, &questions, time).await?);
        running.stop.cancel();
        scans.merge(running.task.await??);
    }
    let mut report = Report::new(&format!("lookups beside a scan at {}×", place.scale));
    report.fact("lookup", lookup.sql);
    report.fact("scan", &scan[0].query.sql);
    report.fact("worker's profile", profile_name(config.profile));
    report.fact("scans meanwhile", count(scans.runs() as f64));
    report.timing("lookup alone", &alone, None);
    report.timing("lookup beside a scan", &beside, Some(alone.median()));
    report.timing("the scan beside lookups", &scans, None);
    report.at_most(
        "p99 of a lookup beside a scan over p99 alone",
        beside.quantile(0.99) / alone.quantile(0.99),
        "",
        OVER_ALONE,
    );
    Ok(vec![report])
}

async fn lookups(
    subject: &Subject,
    questions: &Arc<Vec<Question>>,
    time: Duration,
) -> Fallible<Sample> {
    let mut sample = Sample::default();
    let began = sample::now();
    while sample::now() - began < time {
        sample.merge(subject.round(questions).await?);
    }
    Ok(sample)
}

struct Running {
    stop: CancellationToken,
    task: JoinHandle<Fallible<Sample>>,
}

/// Scans, one after the other.
fn scan_until_stopped(subject: Subject, scan: Arc<Vec<Question>>) -> Running {
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let task = tokio::spawn(async move {
        let mut sample = Sample::default();
        while !stopped.is_cancelled() {
            for question in scan.iter() {
                sample.add([subject.time(question).await?]);
            }
        }
        Ok(sample)
    });
    Running { stop, task }
}
