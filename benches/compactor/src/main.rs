//! Measures the compactor: a lake of many small files brought to shape, against DuckDB's own sorted
//! copy of the same files and against delta-rs, and what readers gain. `benches/README.md` says how
//! to run it.

mod lake;
mod peers;
mod readers;

use clap::Parser;
use serde_json::json;
use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};
use streamsync_compactor::{Claims, Compactor, Silent};
use streamsync_core::{clock::SystemClock, config::CompactorConfig};
use tokio_util::sync::CancellationToken;

/// What may go wrong: anything. Whatever it is, it ends the run.
type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures the compactor.
#[derive(Parser)]
#[command(name = "bench-compactor", version)]
struct Cli {
    /// How many small files the lake has, 16 a commit.
    #[arg(long, default_value_t = 10_000)]
    files: u64,
    /// How many rows each of them has, about.
    #[arg(long, default_value_t = 500)]
    rows: u64,
    /// The memory for sorting, in MiB.
    #[arg(long, default_value_t = 1_024)]
    memory_mib: u64,
    /// Where lakes are made; a temporary folder by default.
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
    /// A Python with deltalake; without one that comparison is left out.
    #[arg(long, env = "STREAMSYNC_BENCH_PYTHON", value_name = "FILE")]
    python: Option<PathBuf>,
    /// Fail where a target is missed.
    #[arg(long)]
    strict: bool,
}

/// The one place where this program reads a clock.
#[allow(clippy::disallowed_methods)]
fn now() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

#[tokio::main]
async fn main() -> Fallible<ExitCode> {
    let cli = Cli::parse();
    let folder = match &cli.folder {
        Some(folder) => tempfile::tempdir_in(folder)?,
        None => tempfile::tempdir()?,
    };
    let root = folder.path().join("lake");
    let made = lake::make(&root, cli.files.div_ceil(16), cli.rows * 16).await?;
    eprintln!(
        "{} files of {} bytes, {} rows",
        made.files, made.bytes, made.rows
    );
    let opened_before = readers::open(&root).await?;
    let lookup_before = readers::lookup(&root, &made.keys).await?;

    let duckdb = peers::duckdb(&root, &folder.path().join("duckdb"), cli.memory_mib << 20).await?;
    let delta_rs = match &cli.python {
        Some(python) => Some(peers::delta_rs(
            python,
            &root,
            &folder.path().join("delta-rs"),
        )?),
        None => None,
    };
    // The last, as it changes the lake that the others have read.
    let config = CompactorConfig {
        memory_bytes: cli.memory_mib << 20,
        rollups: Vec::new(),
        scratch_folder: Some(folder.path().join("scratch")),
        ..CompactorConfig::default()
    };
    let opened = lake::open(&root)?;
    let clock = Arc::new(SystemClock);
    let compactor = Compactor::open(opened, Claims::Alone, config, clock, Arc::new(Silent))?;
    let began = now();
    let report = compactor.once(&CancellationToken::new()).await?;
    let took = now() - began;
    if !report.failures.is_empty() {
        return Err(report.failures.join("\n").into());
    }
    let opened_after = readers::open(&root).await?;
    let lookup_after = readers::lookup(&root, &made.keys).await?;

    let per_second = |amount: u64, took: Duration| amount as f64 / took.as_secs_f64();
    let over_duckdb = duckdb.as_secs_f64() / took.as_secs_f64();
    let over_delta_rs = delta_rs
        .as_ref()
        .map(|one| one.compact.as_secs_f64() / took.as_secs_f64());
    let result = json!({
        "files_before": made.files,
        "files_after": report.files_out,
        "rows": made.rows,
        "bytes_before": made.bytes,
        "bytes_after": report.bytes_out,
        "compactor": {
            "seconds": took.as_secs_f64(),
            "rows_per_second": per_second(made.rows, took).round(),
            "bytes_per_second": per_second(made.bytes, took).round(),
        },
        "duckdb_copy": {
            "seconds": duckdb.as_secs_f64(),
            "rows_per_second": per_second(made.rows, duckdb).round(),
            "times_its_speed": over_duckdb,
            "target": 0.8,
        },
        "delta_rs": delta_rs.as_ref().map(|one| json!({
            "compact_seconds": one.compact.as_secs_f64(),
            "z_order_seconds": one.z_order.as_secs_f64(),
            "times_the_speed_of_compact": over_delta_rs,
            "target": 1.0,
        })),
        "open_ms": {
            "before": opened_before.as_secs_f64() * 1e3,
            "after": opened_after.as_secs_f64() * 1e3,
        },
        "lookup_us": {
            "before": lookup_before.as_secs_f64() * 1e6,
            "after": lookup_after.as_secs_f64() * 1e6,
        },
    });
    println!("{}", serde_json::to_string_pretty(&result)?);
    let missed = over_duckdb < 0.8 || over_delta_rs.is_some_and(|ratio| ratio < 1.0);
    Ok(match cli.strict && missed {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    })
}
