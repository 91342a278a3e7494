//! What is simulated.

use clap::{Parser, ValueEnum};
use std::path::PathBuf;
use streamsync_core::config::Policy;

/// Simulates networks of workers, and prints what they can do.
#[derive(Parser)]
#[command(
    name = "simulation",
    version,
    after_help = "Examples:
  simulation
  simulation --only capacity --cores 8 --service target/bench/service-times.json
  simulation --only sweep --sweep-workers 100 --seed 7"
)]
pub struct Settings {
    /// All randomness comes from it: the same seed, the same output.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Which part to run; all without it.
    #[arg(long, value_enum)]
    pub only: Option<Part>,
    /// The cores of one worker, each running one query at a time.
    #[arg(long, default_value_t = 16)]
    pub cores: u32,
    /// A file with service times of lookups in microseconds, a JSON array, as `bench-router`
    /// writes it; without one, the quantiles that were measured for docs/PERFORMANCE.md.
    #[arg(long, value_name = "FILE")]
    pub service: Option<PathBuf>,
    /// One way of a message between router and worker, in microseconds: the median. It is log-normal
    /// with a sigma of 0.3.
    #[arg(long, default_value_t = 250.0)]
    pub network_us: f64,
    /// The sizes of networks in the capacity table.
    #[arg(long, value_delimiter = ',', default_value = "10,50,100,500,5000")]
    pub workers: Vec<usize>,
    /// The queries a second and worker in the capacity table; without it, as many as each network
    /// keeps up with.
    #[arg(long, value_name = "RATE")]
    pub rate_per_worker: Option<u64>,
    /// The p99 that a network must keep in the capacity table, in milliseconds.
    #[arg(long, default_value_t = 8.0)]
    pub target_ms: f64,
    /// How many seconds are simulated for each row.
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
    /// The most queries that are simulated for each row; large networks answer them in less time.
    #[arg(long, default_value_t = 200_000)]
    pub queries: u64,
    /// The workers of the sweeps.
    #[arg(long, default_value_t = 50)]
    pub sweep_workers: usize,
    /// The queries a second and worker of the sweeps.
    #[arg(long, default_value_t = 1_000.0)]
    pub sweep_rate_per_worker: f64,
    /// The partitions that queries ask for; the n-th is asked for with a weight of 1/n^skew.
    #[arg(long, default_value_t = 4_096)]
    pub partitions: u64,
    /// How skewed that is; 0 asks for all equally often.
    #[arg(long, default_value_t = 0.5)]
    pub skew: f64,
}

/// A part of the output.
#[derive(Clone, Copy, Eq, PartialEq, ValueEnum)]
pub enum Part {
    /// How many queries a second networks of some sizes answer in time.
    Capacity,
    /// What racers, policies, failures and slow workers change.
    Sweep,
}

/// One network under one load.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// How many workers there are, each with its own operator.
    pub workers: usize,
    /// Queries a second, all routers together.
    pub rate: f64,
    /// How many race.
    pub racers: usize,
    /// How many have to agree.
    pub needed: usize,
    /// When they start.
    pub policy: Policy,
    /// The share of executions that fail.
    pub failing: f64,
    /// The share of workers that are 50 times as slow.
    pub slow: f64,
    /// The share of workers that stop answering and beating half way through.
    pub dying: f64,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            workers: 10,
            rate: 1_000.0,
            racers: 5,
            needed: 3,
            policy: Policy::Full,
            failing: 0.0,
            slow: 0.0,
            dying: 0.0,
        }
    }
}
