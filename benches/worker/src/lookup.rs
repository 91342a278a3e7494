//! Warm point lookups: against bare DuckDB, and against themselves on more data.

use crate::{
    Fallible,
    bare::{Bare, Prepared},
    lake,
    options::{Place, Setting, cores, profile_name},
    question::{LOOKUPS, Lookup, Planner, Question},
    report::Report,
    rows,
    sample::{self, Sample},
    subject::Subject,
};
use clap::Args;
use std::{sync::Arc, time::Duration};
use streamsync_core::config::Profile;

/// How many keys are looked up in turn.
const KEYS: usize = 256;
/// The median of a lookup may be this, in microseconds.
const MEDIAN_US: f64 = 250.0;
/// Lookups that one core does in a second.
const A_SECOND_AND_CORE: f64 = 4_000.0;
/// How much longer a lookup may take than bare DuckDB.
const OVER_BARE: f64 = 1.5;
/// How much longer a lookup may take on a hundred times the data.
const OVER_SMALL: f64 = 1.3;

/// Flags of this part.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    setting: Setting,
    /// The largest lake that is also loaded into bare DuckDB. It has all rows in memory, so 100
    /// needs more than 30 GB.
    #[arg(long, default_value_t = 1)]
    bare_scale: u64,
}

impl Flags {
    /// Where everything is kept.
    pub fn place(&self) -> &Place {
        &self.place
    }
}

/// A worker that has the keys of one lake at hand.
struct Warm {
    scale: u64,
    subject: Subject,
    questions: Arc<Vec<Question>>,
    sample: Sample,
}

/// Measures.
pub async fn run(flags: &Flags) -> Fallible<Vec<Report>> {
    let mut reports = Vec::new();
    for lookup in &LOOKUPS {
        reports.push(measure(flags, lookup).await?);
    }
    Ok(reports)
}

async fn measure(flags: &Flags, lookup: &Lookup) -> Fallible<Report> {
    let Flags { place, setting, .. } = flags;
    let config = setting.worker(8 << 10, Profile::Speed);
    let mut report = Report::new(&format!("warm lookup in {}", lookup.table));
    report.fact("query", lookup.sql);
    report.fact(
        "worker",
        format!(
            "profile {}, {} MiB of memory, {} MiB of disk",
            profile_name(config.profile),
            config.memory_bytes >> 20,
            config.disk_bytes >> 20
        ),
    );
    let mut workers = Vec::new();
    let mut bare = Vec::new();
    for scale in place.scales() {
        let lake = lake::open(place, scale).await?;
        let planner = Planner::open(&lake).await?;
        let keys = lookup.keys(place.seed, scale, KEYS);
        let questions = Arc::new(lookup.questions(&planner, &keys).await?);
        if scale <= flags.bare_scale {
            let files = planner
                .paths(&lake::folder(place, scale), lookup.table)
                .await?;
            for index in [None, Some(lookup.key)] {
                let duckdb = Bare::open(1, 64 << 30)?;
                duckdb.load(lookup.table, &files, index)?;
                bare.push((scale, index.is_some(), duckdb, Arc::clone(&questions)));
            }
        }
        workers.push(Warm {
            scale,
            subject: Subject::open(place, &config, &lake).await?,
            questions,
            sample: Sample::default(),
        });
    }
    let mut prepared = Vec::new();
    for (scale, indexed, duckdb, questions) in &bare {
        if *indexed {
            let plan = duckdb.plan(&questions[0])?;
            let used = if plan.contains("Index Scan") {
                ""
            } else {
                "not "
            };
            report.fact(
                &format!("bare DuckDB with index at {scale}×"),
                format!("the index is {used}used"),
            );
        }
        let statement = duckdb.prepare(&questions[0].query.sql)?;
        prepared.push((*scale, *indexed, statement, questions, Sample::default()));
    }

    check(&workers, &mut prepared).await?;
    // In turns, so that whatever else the machine does falls on all of them.
    let contestants = (workers.len() + prepared.len()) as f64;
    let time = Duration::from_secs_f64(place.seconds * contestants);
    let began = sample::now();
    while sample::now() - began < time {
        for warm in &mut workers {
            warm.sample
                .merge(warm.subject.round(&warm.questions).await?);
        }
        for (_, _, statement, questions, sample) in &mut prepared {
            sample.merge(statement.round(questions)?);
        }
    }

    for warm in &workers {
        let scale = warm.scale;
        let same = prepared.iter().filter(|each| each.0 == scale);
        let fastest = same.map(|each| each.4.median()).reduce(f64::min);
        report.timing(&format!("worker at {scale}×"), &warm.sample, fastest);
        let name = format!("median at {scale}×");
        report.at_most(&name, warm.sample.median(), "us", MEDIAN_US);
        if let Some(fastest) = fastest {
            report.at_most(
                &format!("worker over the faster bare DuckDB at {scale}×"),
                warm.sample.median() / fastest,
                "",
                OVER_BARE,
            );
        }
        let seconds = Duration::from_secs_f64(place.seconds);
        let rate = warm
            .subject
            .throughput(&warm.questions, cores(), seconds)
            .await?;
        report.at_least(
            &format!("executions with a task a core at {scale}×"),
            rate / cores() as f64,
            "/s/core",
            A_SECOND_AND_CORE,
        );
    }
    for (scale, indexed, _, _, sample) in &prepared {
        let index = if *indexed {
            "with index"
        } else {
            "without index"
        };
        let name = format!("bare DuckDB {index}, 1 thread, at {scale}×");
        report.timing(&name, sample, None);
    }
    if let [small, .., large] = &workers[..] {
        report.at_most(
            &format!("worker at {}× over 1×", large.scale),
            large.sample.median() / small.sample.median(),
            "",
            OVER_SMALL,
        );
    }
    Ok(report)
}

/// One bare DuckDB: scale, whether with an index, statement, questions, times.
type Contestant<'a> = (u64, bool, Prepared<'a>, &'a Arc<Vec<Question>>, Sample);

/// Compares every answer, which also warms up.
async fn check(workers: &[Warm], prepared: &mut [Contestant<'_>]) -> Fallible<()> {
    for warm in workers {
        for question in warm.questions.iter() {
            let rows = warm.subject.rows(question).await?;
            if rows.is_empty() {
                return Err("the worker does not find a key that is in the lake".into());
            }
            for (scale, _, statement, ..) in prepared.iter_mut() {
                if *scale == warm.scale {
                    let bare = statement.rows(question)?;
                    rows::same(&question.query.sql, &rows, &bare)?;
                }
            }
        }
        warm.subject.round(&warm.questions).await?;
    }
    Ok(())
}
