//! Measures a router with real workers: the released command, a process each, over loopback.
//! `benches/README.md` says how to run it.

mod load;
mod network;
mod parts;
mod security;
mod slow_proxy;
mod stages;

use clap::Parser;
use std::{path::PathBuf, process::ExitCode};

/// What may go wrong: anything. Whatever it is, it ends the measurement.
type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// Measures a router with five workers on this machine.
#[derive(Clone, Parser)]
#[command(
    name = "bench-router",
    version,
    after_help = "Examples:
  bench-router --command target/release/streamsync
  bench-router --command target/release/streamsync --rate 300 --seconds 20"
)]
struct Settings {
    /// The command to measure, built for release.
    #[arg(long, default_value = "target/release/streamsync", value_name = "FILE")]
    command: PathBuf,
    /// Queries a second.
    #[arg(long, default_value_t = 500.0)]
    rate: f64,
    /// How long each load is kept up, in seconds.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// The blocks of the lake, each with 200 transactions.
    #[arg(long, default_value_t = 100)]
    blocks: u32,
    /// The order of queries and the times between them come from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How lookups are raced.
    #[arg(long, default_value = "full", value_parser = ["full", "hedged"])]
    policy: String,
    /// Measure only what keys, credit, receipts and TLS take.
    #[arg(long)]
    security: bool,
    /// Where to write the service times of a worker, for the simulation.
    #[arg(long, value_name = "FILE")]
    service_times: Option<PathBuf>,
}

fn main() -> ExitCode {
    let settings = Settings::parse();
    let measured = tokio::runtime::Runtime::new()
        .map_err(Into::into)
        .and_then(|runtime| {
            if settings.security {
                runtime.block_on(parts::security(&settings))
            } else {
                runtime.block_on(parts::all(&settings))
            }
        });
    match measured {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-router: {error}");
            ExitCode::FAILURE
        }
    }
}
