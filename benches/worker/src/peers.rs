//! The worker beside other engines, on the same files with the same queries.

use crate::{
    Fallible, lake,
    options::{Place, Setting, cores, profile_name},
    question::{LOOKUPS, Planner, scans},
    report::{Report, Timing},
    rows::{self, Rows},
    sample::{self, Sample},
    subject::Subject,
};
use clap::Args;
use serde::{Deserialize, Serialize};
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::Duration,
};
use streamsync_core::{Parameter, config::Profile};

const TABLES: [&str; 3] = ["signatures", "account_transactions", "token_balances"];
const KEYS: usize = 32;
/// The largest lake that peers also load into tables of their own.
const LOAD_SCALE: u64 = 10;

/// Flags of this part.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    setting: Setting,
    /// The Python that has the peers; `scripts/install-peers` makes it.
    #[arg(
        long,
        default_value = ".deps/bench/bin/python",
        env = "STREAMSYNC_BENCH_PYTHON"
    )]
    python: PathBuf,
}

impl Flags {
    /// Where everything is kept.
    pub fn place(&self) -> &Place {
        &self.place
    }
}

/// What the peers are to do: the input of `peers.py`.
#[derive(Serialize)]
struct Order {
    /// Has a folder of Parquet files for each table.
    folder: PathBuf,
    /// Each table with the columns by which it is sorted.
    tables: Vec<(&'static str, &'static [&'static str])>,
    /// Whether to load the files as well.
    load: bool,
    threads: usize,
    seconds: f64,
    cases: Vec<Case>,
}

/// One query, in as many forms as it has keys.
#[derive(Serialize)]
struct Case {
    name: String,
    sql: Vec<String>,
}

/// What a peer did: the output of `peers.py`, one a line.
#[derive(Deserialize)]
struct Done {
    engine: String,
    case: String,
    runs: usize,
    median_us: f64,
    p99_us: f64,
    /// The rows of each form of the query.
    rows: Vec<Rows>,
    error: Option<String>,
}

/// Measures.
pub async fn run(flags: &Flags) -> Fallible<Vec<Report>> {
    let Flags { place, setting, .. } = flags;
    let mut report = Report::new(&format!("peers at {}×", place.scale));
    if !flags.python.exists() {
        let missing = format!("{} is not there", flags.python.display());
        report.fact(
            "left out",
            format!("{missing}; scripts/install-peers makes it"),
        );
        return Ok(vec![report]);
    }
    let config = setting.worker(8 << 10, Profile::Cache);
    let lake = lake::open(place, place.scale).await?;
    let planner = Planner::open(&lake).await?;
    report.fact(
        "worker",
        format!(
            "in this process, profile {}, {} MiB",
            profile_name(config.profile),
            config.memory_bytes >> 20
        ),
    );
    report.fact(
        "peers",
        "DuckDB and chDB in a Python process, ROAPI over HTTP on this machine; each on the files, \
         and with the files loaded into tables of its own. All with literals instead of \
         parameters",
    );
    let subject = Subject::open(place, &config, &lake).await?;
    let mut cases = Vec::new();
    let mut mine = Vec::new();
    for (name, sql, forms) in queries(place) {
        let mut questions = Vec::new();
        let mut answers = Vec::new();
        for parameters in &forms {
            let question = planner.plan(sql, parameters.clone()).await?;
            answers.push(subject.rows(&question).await?);
            questions.push(question);
        }
        let questions = Arc::new(questions);
        subject.round(&questions).await?;
        let mut sample = Sample::default();
        let began = sample::now();
        while sample::now() - began < Duration::from_secs_f64(place.seconds) {
            sample.merge(subject.round(&questions).await?);
        }
        cases.push(Case {
            name: name.to_owned(),
            sql: forms.iter().map(|form| literal(sql, form)).collect(),
        });
        mine.push((name, sql, sample, answers));
    }
    let order = Order {
        folder: link(place, &planner).await?,
        tables: TABLES.map(|table| (table, sort_by(table))).to_vec(),
        load: place.scale <= LOAD_SCALE,
        threads: cores(),
        seconds: place.seconds,
        cases,
    };
    let done = ask(&flags.python, &order)?;
    for (name, sql, sample, answers) in &mine {
        report.fact(name, *sql);
        report.timing(&format!("{name}: worker"), sample, None);
        for peer in done.iter().filter(|peer| peer.case == *name) {
            if let Some(error) = &peer.error {
                report.fact(&format!("{name}: {}", peer.engine), error);
                continue;
            }
            if answers.len() != peer.rows.len() {
                return Err(format!("{name}: {} left out forms of the query", peer.engine).into());
            }
            for (answer, theirs) in answers.iter().zip(&peer.rows) {
                let mut theirs = theirs.clone();
                theirs.sort();
                rows::same(&format!("{name}: {}", peer.engine), answer, &theirs)?;
            }
            report.timings.push(Timing {
                what: format!("{name}: {}", peer.engine),
                runs: peer.runs,
                median_us: peer.median_us,
                p99_us: peer.p99_us,
                ratio: Some(peer.median_us / sample.median()),
            });
        }
    }
    report.fact("ratio", "the peer's median as a multiple of the worker's");
    Ok(vec![report])
}

/// A name, a query, and its parameters in each form.
type Asked = (&'static str, &'static str, Vec<Vec<Parameter>>);

fn queries(place: &Place) -> Vec<Asked> {
    let names = ["point lookup", "history of an account"];
    let lookups = LOOKUPS.iter().zip(names).map(|(lookup, name)| {
        let keys = lookup.keys(place.seed, place.scale, KEYS).into_iter();
        let forms = keys.map(|key| vec![Parameter::Text(key)]).collect();
        (name, lookup.sql, forms)
    });
    let scans = scans().into_iter().take(2);
    let scans = scans.map(|scan| (scan.name, scan.sql, vec![scan.parameters]));
    lookups.chain(scans).collect()
}

fn literal(sql: &str, parameters: &[Parameter]) -> String {
    let mut text = sql.to_owned();
    for (index, parameter) in parameters.iter().enumerate() {
        let value = match parameter {
            Parameter::Integer(value) => value.to_string(),
            Parameter::Text(value) => format!("'{value}'"),
            other => format!("{other:?}"),
        };
        text = text.replace(&format!("${}", index + 1), &value);
    }
    text
}

fn sort_by(table: &str) -> &'static [&'static str] {
    streamsync_lake::tables::definition(table).map_or(&[], |definition| definition.sort_by)
}

/// A folder for each table with its files and nothing else: links, under names in order.
async fn link(place: &Place, planner: &Planner) -> Fallible<PathBuf> {
    let lake = lake::folder(place, place.scale);
    let folder = place.folder.join(format!("peers-{}", place.scale));
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    for table in TABLES {
        let links = folder.join(table);
        std::fs::create_dir_all(&links)?;
        for (index, file) in planner.paths(&lake, table).await?.iter().enumerate() {
            std::fs::hard_link(file, links.join(format!("{index:05}.parquet")))?;
        }
    }
    Ok(std::path::absolute(folder)?)
}

fn ask(python: &Path, order: &Order) -> Fallible<Vec<Done>> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers.py");
    let path = order.folder.join("order.json");
    std::fs::write(&path, serde_json::to_vec(order)?)?;
    let output = Command::new(python)
        .arg(script)
        .arg(&path)
        .stderr(Stdio::inherit())
        .output()?;
    if !output.status.success() {
        return Err(format!("peers.py ended with {}", output.status).into());
    }
    let lines = str::from_utf8(&output.stdout)?.lines();
    Ok(lines.map(serde_json::from_str).collect::<Result<_, _>>()?)
}
