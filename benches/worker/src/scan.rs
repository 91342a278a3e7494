//! Warm scans and aggregates, against DuckDB on the same files.

use crate::{
    Fallible,
    bare::Bare,
    lake,
    options::{Flags, cores, profile_name},
    question::{Planner, scans},
    report::Report,
    rows,
    sample::{self, Sample},
    subject::Subject,
};
use std::{sync::Arc, time::Duration};
use streamsync_core::config::Profile;

/// How much longer a scan may take than DuckDB's own.
const OVER_BARE: f64 = 1.1;
/// The least number of runs, however long they take.
const RUNS: usize = 5;

/// Measures.
pub async fn run(flags: &Flags) -> Fallible<Vec<Report>> {
    let Flags { place, setting } = flags;
    let config = setting.worker(2 << 10, Profile::Cache);
    let threads = if config.threads == 0 {
        cores()
    } else {
        config.threads
    };
    let scale = place.scale;
    let lake = lake::open(place, scale).await?;
    let planner = Planner::open(&lake).await?;
    let mut report = Report::new(&format!("warm scans at {scale}×"));
    report.fact(
        "both",
        format!("{threads} threads, {} MiB", config.memory_bytes >> 20),
    );
    report.fact("worker's profile", profile_name(config.profile));
    let subject = Subject::open(place, &config, &lake).await?;
    let bare = Bare::open(threads, config.memory_bytes)?;
    let folder = lake::folder(place, scale);
    let files = planner.paths(&folder, "token_balances").await?;
    bare.show("token_balances", &files)?;
    for scan in scans() {
        let question = planner.plan(scan.sql, scan.parameters).await?;
        let questions = Arc::new(vec![question]);
        let mut prepared = bare.prepare(&questions[0].query.sql)?;
        for _ in 0..2 {
            let rows = subject.rows(&questions[0]).await?;
            rows::same(scan.name, &rows, &prepared.rows(&questions[0])?)?;
        }
        let (mut worker, mut duckdb) = (Sample::default(), Sample::default());
        let time = Duration::from_secs_f64(place.seconds * 2.0);
        let began = sample::now();
        while sample::now() - began < time || worker.runs() < RUNS {
            worker.merge(subject.round(&questions).await?);
            duckdb.merge(prepared.round(&questions)?);
        }
        report.fact(scan.name, scan.sql);
        report.timing(
            &format!("{}: worker", scan.name),
            &worker,
            Some(duckdb.median()),
        );
        report.timing(&format!("{}: DuckDB", scan.name), &duckdb, None);
        report.at_most(
            &format!("{}: worker over DuckDB", scan.name),
            worker.median() / duckdb.median(),
            "",
            OVER_BARE,
        );
    }
    Ok(vec![report])
}
