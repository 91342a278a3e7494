//! `streamsync compactor`.

mod bar;

use crate::{
    Failure, serve,
    settings::{Settings, flag, quoted},
};
use bar::Bar;
use clap::Subcommand;
use std::{io::IsTerminal, path::PathBuf, process::ExitCode, sync::Arc, time::Duration};
use streamsync_compactor::{Claims, Compactor, Observer, Silent, TablePlan, TableStatus};
use streamsync_core::{
    clock::SystemClock,
    config::{CompactorConfig, Config},
};
use streamsync_lake::Lake;
use streamsync_registry::Registry;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// `streamsync compactor ...`.
#[derive(Subcommand)]
#[command(after_help = "Examples:
  streamsync compactor run --bucket s3://lake --redis-url redis://redis:6379
  streamsync compactor once --bucket ./lake --alone
  streamsync compactor plan --bucket ./lake --files
  streamsync compactor status --bucket ./lake")]
pub enum CompactorCommand {
    /// Keep the lake in shape until told to stop. Any number of compactors share the work.
    Run(WorkArgs),
    /// Do all there is to do, and end.
    Once(WorkArgs),
    /// Say what there is to do, and what would be deleted, without doing it.
    Plan(PlanArgs),
    /// Say how the tables are.
    Status(StatusArgs),
}

/// Flags of those that work.
#[derive(clap::Args)]
pub struct WorkArgs {
    #[command(flatten)]
    settings: Settings,
    /// Ask no Redis who does what: right, but wasteful where other compactors work on the lake.
    #[arg(long)]
    alone: bool,
    /// The folder for copies of files and for what sorting spills.
    #[arg(long, value_name = "FOLDER")]
    scratch: Option<PathBuf>,
    /// The memory for sorting, in bytes.
    #[arg(long, value_name = "BYTES")]
    memory: Option<u64>,
    /// For how long a snapshot can be read after it was the newest, in seconds.
    #[arg(long, value_name = "SECONDS")]
    promise: Option<u64>,
}

/// Flags of `plan`.
#[derive(clap::Args)]
pub struct PlanArgs {
    #[command(flatten)]
    settings: Settings,
    /// Name every file.
    #[arg(long)]
    files: bool,
    /// For how long a snapshot can be read after it was the newest, in seconds.
    #[arg(long, value_name = "SECONDS")]
    promise: Option<u64>,
}

/// Flags of `status`.
#[derive(clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    settings: Settings,
}

/// Does what is asked.
pub async fn run(command: CompactorCommand) -> Result<ExitCode, Failure> {
    match command {
        CompactorCommand::Run(args) => work(args, true).await,
        CompactorCommand::Once(args) => work(args, false).await,
        CompactorCommand::Plan(args) => {
            let promise = flag("compactor.promise_s", args.promise);
            let config = args.settings.load(vec![promise])?;
            let _telemetry = streamsync_telemetry::start(&config.telemetry, "compactor")?;
            let compactor = open(&config, Claims::Alone, Arc::new(Silent)).await?;
            for plan in compactor.plan().await? {
                print_plan(&plan, args.files);
            }
            Ok(ExitCode::SUCCESS)
        }
        CompactorCommand::Status(args) => {
            let config = args.settings.load(Vec::new())?;
            let _telemetry = streamsync_telemetry::start(&config.telemetry, "compactor")?;
            let compactor = open(&config, Claims::Alone, Arc::new(Silent)).await?;
            print_status(&compactor.status().await?);
            Ok(ExitCode::SUCCESS)
        }
    }
}

async fn work(args: WorkArgs, forever: bool) -> Result<ExitCode, Failure> {
    let config = args.settings.load(vec![
        flag(
            "compactor.scratch_folder",
            args.scratch.map(|path| quoted(path.display())),
        ),
        flag("compactor.memory_bytes", args.memory),
        flag("compactor.promise_s", args.promise),
    ])?;
    let telemetry = streamsync_telemetry::start(&config.telemetry, "compactor")?;
    // What sorts has its memory; files are read and written beside it.
    let CompactorConfig {
        memory_bytes,
        target_file_bytes,
        ..
    } = &config.compactor;
    streamsync_telemetry::expect_memory(memory_bytes + memory_bytes / 2 + 4 * target_file_bytes);
    let stop = CancellationToken::new();
    serve::stop_on_signals(stop.clone())?;
    let claims = if args.alone {
        Claims::Alone
    } else {
        Claims::Shared {
            registry: Registry::connect(&config.redis).await?,
            #[allow(
                clippy::disallowed_methods,
                reason = "differs from every other process's"
            )]
            holder: Uuid::new_v4(),
            time: Duration::from_secs(config.compactor.lease_s),
        }
    };
    let observer: Arc<dyn Observer> = if std::io::stderr().is_terminal() {
        Arc::new(Bar::default())
    } else {
        Arc::new(Silent)
    };
    let compactor = open(&config, claims, observer).await?;
    if !forever {
        let report = compactor.once(&stop).await?;
        println!("{report}");
        for failure in &report.failures {
            println!("  failed: {failure}");
        }
        return Ok(match report.failures.is_empty() {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        });
    }
    let serving = serve::observed(
        config.compactor.metrics_listen,
        telemetry.metrics(),
        || true,
        stop.clone(),
    );
    tracing::info!(lake = %config.bucket.url, "the compactor works");
    let (served, ()) = tokio::join!(serving, compactor.run(&stop));
    served?;
    tracing::info!("the compactor has stopped");
    Ok(ExitCode::SUCCESS)
}

async fn open(
    config: &Config,
    claims: Claims,
    observer: Arc<dyn Observer>,
) -> Result<Compactor, Failure> {
    let lake = Lake::open(&config.bucket)?;
    lake.check().await?;
    let clock = Arc::new(SystemClock);
    let compactor = config.compactor.clone();
    Ok(Compactor::open(lake, claims, compactor, clock, observer)?)
}

fn print_plan(plan: &TablePlan, files: bool) {
    let nothing = plan.expired.is_empty()
        && plan.merges.is_empty()
        && plan.archive.is_empty()
        && plan.files.objects.is_empty()
        && plan.log.objects.is_empty();
    if nothing {
        println!("{}: nothing to do", plan.table);
        return;
    }
    println!("{}:", plan.table);
    if !plan.expired.is_empty() {
        let bytes: u64 = plan.expired.iter().map(|file| file.size).sum();
        println!(
            "  delete the rows of {} files of {bytes} bytes: too old to be kept",
            plan.expired.len()
        );
        print_files(files, plan.expired.iter().map(|file| file.path.as_str()));
    }
    for merge in &plan.merges {
        let partition = merge.files.first().map_or("", |file| {
            file.path.rsplit_once('/').map_or("", |(folder, _)| folder)
        });
        println!(
            "  merge {} files of {} bytes in {partition}, into generation {}",
            merge.files.len(),
            merge.bytes(),
            merge.generation
        );
        print_files(files, merge.files.iter().map(|file| file.path.as_str()));
    }
    if !plan.archive.is_empty() {
        let bytes: u64 = plan.archive.iter().map(|file| file.size).sum();
        println!("  archive {} files of {bytes} bytes", plan.archive.len());
        print_files(files, plan.archive.iter().map(|file| file.path.as_str()));
    }
    for (what, unneeded) in [("files", &plan.files), ("log entries", &plan.log)] {
        if !unneeded.objects.is_empty() {
            println!(
                "  delete {} {what} of {} bytes that no promised snapshot needs",
                unneeded.objects.len(),
                unneeded.bytes()
            );
            print_files(
                files,
                unneeded.objects.iter().map(|(path, _)| path.as_str()),
            );
        }
    }
}

fn print_files<'a>(wanted: bool, paths: impl Iterator<Item = &'a str>) {
    if wanted {
        paths.for_each(|path| println!("    {path}"));
    }
}

fn print_status(tables: &[TableStatus]) {
    println!(
        "{:<22} {:>8} {:>10} {:>8} {:>8} {:>14} {:>14} {:>14} {:>9}",
        "table",
        "version",
        "partitions",
        "files",
        "small",
        "bytes",
        "archived",
        "to merge",
        "rewrites"
    );
    for table in tables {
        println!(
            "{:<22} {:>8} {:>10} {:>8} {:>8} {:>14} {:>14} {:>14} {:>9.2}",
            table.table.as_str(),
            table.version,
            table.partitions,
            table.files,
            table.small_files,
            table.bytes,
            table.archived_bytes,
            table.waiting_bytes,
            table.rewrites
        );
    }
}
