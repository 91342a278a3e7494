//! Measures a worker: against DuckDB itself, against other engines, and against itself on more
//! data. `benches/README.md` says how to run it.

mod bare;
mod bucket;
mod child;
mod cold;
mod fairness;
mod keys;
mod lake;
mod lookup;
mod machine;
mod memory;
mod options;
mod peers;
mod question;
mod report;
mod rows;
mod sample;
mod scan;
mod start;
mod subject;

use clap::{Parser, Subcommand};
use options::{Flags, Place};
use report::{Report, Run};
use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

/// What may go wrong: anything. Whatever it is, it ends the part.
type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures a worker.
#[derive(Parser)]
#[command(name = "bench-worker", version)]
struct Cli {
    #[command(subcommand)]
    part: Part,
    /// Where to write the results; without it, a file named after the part in the folder.
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail where a target is missed.
    #[arg(long, global = true)]
    strict: bool,
}

#[derive(Subcommand)]
enum Part {
    /// Make the lakes up to a scale.
    Lake(Place),
    /// Warm point lookups, against bare DuckDB and on more data.
    Lookup(lookup::Flags),
    /// Warm scans and aggregates, against DuckDB on the same files.
    Scan(Flags),
    /// First queries on partitions that the worker does not have.
    Cold(Flags),
    /// The most memory under load.
    Memory(Flags),
    /// Lookups beside a scan.
    Fairness(Flags),
    /// From the start of a process to its first answer.
    Start(Flags),
    /// DuckDB, chDB and ROAPI on the same files.
    Peers(peers::Flags),
    /// All of the above, each in a process of its own.
    All(Flags),
    /// Print results as Markdown.
    Report {
        /// What a run has written.
        file: PathBuf,
    },
    /// What `memory` starts.
    #[command(hide = true)]
    MemoryChild(Flags),
    /// What `start` starts.
    #[command(hide = true)]
    StartChild(Flags),
}

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("bench-worker: {error}");
            let mut source = error.source();
            while let Some(error) = source {
                eprintln!("  because {error}");
                source = error.source();
            }
            ExitCode::FAILURE
        }
    }
}

fn run() -> Fallible<ExitCode> {
    let Cli { part, json, strict } = Cli::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    let (name, folder) = match &part {
        Part::Lake(place) => ("lake", place),
        Part::Lookup(flags) => ("lookup", flags.place()),
        Part::Scan(flags) => ("scan", &flags.place),
        Part::Cold(flags) => ("cold", &flags.place),
        Part::Memory(flags) => ("memory", &flags.place),
        Part::Fairness(flags) => ("fairness", &flags.place),
        Part::Start(flags) => ("start", &flags.place),
        Part::Peers(flags) => ("peers", flags.place()),
        Part::All(flags) => ("all", &flags.place),
        Part::Report { file } => {
            print!("{}", Run::load(file)?.text(true));
            return Ok(ExitCode::SUCCESS);
        }
        Part::MemoryChild(flags) => {
            runtime.block_on(memory::child(flags))?;
            return Ok(ExitCode::SUCCESS);
        }
        Part::StartChild(flags) => {
            runtime.block_on(start::child(flags))?;
            return Ok(ExitCode::SUCCESS);
        }
    };
    let machine = machine::facts();
    let path = json.unwrap_or_else(|| folder.folder.join(format!("worker-{name}.json")));
    let (reports, complete) = match &part {
        Part::All(flags) => all(flags)?,
        one => (runtime.block_on(measure(one))?, true),
    };
    let run = Run { machine, reports };
    run.save(&path)?;
    if matches!(part, Part::All(_)) {
        println!("\nEverything is in {}.", path.display());
    } else {
        print!("{}", run.text(false));
    }
    let good = complete && (!strict || run.met());
    Ok(ExitCode::from(u8::from(!good)))
}

async fn measure(part: &Part) -> Fallible<Vec<Report>> {
    match part {
        Part::Lake(place) => {
            let mut reports = Vec::new();
            for scale in place.scales() {
                reports.extend(lake::make(place, scale).await?);
            }
            Ok(reports)
        }
        Part::Lookup(flags) => lookup::run(flags).await,
        Part::Scan(flags) => scan::run(flags).await,
        Part::Cold(flags) => cold::run(flags).await,
        Part::Memory(flags) => memory::run(flags).await,
        Part::Fairness(flags) => fairness::run(flags).await,
        Part::Start(flags) => start::run(flags).await,
        Part::Peers(flags) => peers::run(flags).await,
        Part::All(_) | Part::Report { .. } | Part::MemoryChild(_) | Part::StartChild(_) => {
            Ok(Vec::new())
        }
    }
}

/// Runs every part in a process of its own, so that none measures what another has left in memory.
/// Says whether all of them came to an end. The parts' own flags are left at their defaults.
fn all(flags: &Flags) -> Fallible<(Vec<Report>, bool)> {
    let folder: &Path = &flags.place.folder;
    let (mut reports, mut complete) = (Vec::new(), true);
    for part in [
        "lake", "lookup", "scan", "cold", "start", "fairness", "memory", "peers",
    ] {
        let path = folder.join(format!("worker-{part}.json"));
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(part).args(flags.place.arguments());
        if part != "lake" {
            command.args(flags.setting.arguments());
        }
        println!("\n# {part}\n");
        let status = command.arg("--json").arg(&path).status()?;
        if status.success() {
            reports.extend(Run::load(&path)?.reports);
        } else {
            let mut report = Report::new(part);
            report.fact("failed", format!("it ended with {status}"));
            reports.push(report);
            complete = false;
        }
    }
    Ok((reports, complete))
}
