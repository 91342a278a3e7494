//! First queries on partitions that the worker does not have, against the least that they need:
//! getting the bytes and having DuckDB read them.

use crate::{
    Fallible,
    bare::Bare,
    bucket::Bucket,
    lake::{self, FIRST_DAY, token_balances::DAYS},
    options::{Flags, Place, cores, profile_name},
    question::{LOOKUPS, Planner, Question},
    report::Report,
    rows,
    sample::{self, Sample},
    subject::Subject,
};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};
use streamsync_core::{Parameter, config::Profile};
use streamsync_lake::tables::bucket;

/// How much longer the first query may take than its least.
const OVER_LEAST: f64 = 1.3;

/// Measures.
pub async fn run(flags: &Flags) -> Fallible<Vec<Report>> {
    let Flags { place, setting } = flags;
    let config = setting.worker(2 << 10, Profile::Cache);
    let bucket = Bucket::open(place, place.scale).await?;
    let planner = Planner::open(&bucket.lake).await?;
    let folder = lake::folder(place, place.scale);
    let threads = if config.threads == 0 {
        cores()
    } else {
        config.threads
    };
    let mut report = Report::new(&format!(
        "first queries on absent partitions at {}×",
        place.scale
    ));
    report.fact("bucket", &bucket.described);
    report.fact("worker's profile", profile_name(config.profile));
    report.fact(
        "least",
        "GET of all files that can hold the rows, at once, then the query on local copies of them \
         in a new DuckDB",
    );
    for (name, questions) in cases(place, &planner).await? {
        // The first of the questions opens the table and is not measured.
        let (mut worker, mut least, mut get) = <(Sample, Sample, Sample)>::default();
        let time = Duration::from_secs_f64(place.seconds * 2.0);
        let began = sample::now();
        let mut bytes = 0;
        while sample::now() - began < time {
            let subject = Subject::open(place, &config, &bucket.lake).await?;
            subject.time(&questions[0]).await?;
            for (turn, question) in questions.iter().enumerate().skip(1) {
                let cold = async |worker: &mut Sample| {
                    let one = subject.clone();
                    let asked = question.clone();
                    let took = tokio::spawn(async move { one.time(&asked).await });
                    worker.add([took.await??]);
                    Fallible::Ok(())
                };
                // In turns, so that neither always finds what the other has warmed up.
                if turn.is_multiple_of(2) {
                    cold(&mut worker).await?;
                }
                let files = paths(&folder, question);
                let bare = Bare::open(threads, config.memory_bytes)?;
                let start = sample::now();
                bytes = bucket.get(&question.files).await?;
                let got = sample::now();
                let table = question.files.first().map_or("", |(table, _)| *table);
                bare.show(table, &files)?;
                let found = bare.prepare(&question.query.sql)?.rows(question)?;
                least.add([sample::now() - start]);
                get.add([got - start]);
                if !turn.is_multiple_of(2) {
                    cold(&mut worker).await?;
                }
                rows::same(&question.query.sql, &subject.rows(question).await?, &found)?;
            }
        }
        report.timing(&format!("{name}: worker"), &worker, Some(least.median()));
        report.timing(&format!("{name}: GET and DuckDB"), &least, None);
        report.timing(&format!("{name}: of that, GET"), &get, None);
        report.fact(
            &format!("{name}, bytes of a partition's files"),
            bytes.to_string(),
        );
        report.at_most(
            &format!("{name}: worker over GET and DuckDB"),
            worker.median() / least.median(),
            "",
            OVER_LEAST,
        );
    }
    Ok(vec![report])
}

/// For each case, questions on different partitions.
async fn cases(place: &Place, planner: &Planner) -> Fallible<Vec<(&'static str, Vec<Question>)>> {
    let lookup = &LOOKUPS[0];
    let keys = lookup.keys(place.seed, place.scale, 256);
    let by_bucket: BTreeMap<i32, String> =
        keys.into_iter().map(|key| (bucket(&key), key)).collect();
    let keys: Vec<String> = by_bucket.into_values().collect();
    let mut days = Vec::new();
    for day in FIRST_DAY..FIRST_DAY + DAYS {
        let sql = "SELECT mint, count(*) AS n, sum(post_amount) AS amount FROM token_balances \
                   WHERE date = $1 GROUP BY mint ORDER BY n DESC, mint LIMIT 10";
        days.push(planner.plan(sql, vec![Parameter::Date(day)]).await?);
    }
    Ok(vec![
        (
            "lookup by signature in a bucket",
            lookup.questions(planner, &keys).await?,
        ),
        ("aggregate over a day", days),
    ])
}

fn paths(folder: &Path, question: &Question) -> Vec<PathBuf> {
    let files = question.files.iter();
    files
        .map(|(table, file)| folder.join(table).join(&file.path))
        .collect()
}
