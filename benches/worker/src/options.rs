//! Flags that several parts have.

use clap::Args;
use std::path::PathBuf;
use streamsync_core::config::{Profile, WorkerConfig};

/// Where everything is kept, and what decides it.
#[derive(Args, Clone, Debug)]
pub struct Place {
    /// The folder for lakes, caches and results.
    #[arg(long, default_value = "target/bench", env = "STREAMSYNC_BENCH_FOLDER")]
    pub folder: PathBuf,
    /// Decides the rows of the lake and the keys that are looked up.
    #[arg(long, default_value_t = 42)]
    pub seed: u64,
    /// The largest lake: 1, 10 or 100 times a million rows in its widest table.
    #[arg(long, default_value_t = 1, value_parser = scale)]
    pub scale: u64,
    /// Seconds for which each contestant is measured.
    #[arg(long, default_value_t = 3.0)]
    pub seconds: f64,
}

fn scale(text: &str) -> Result<u64, String> {
    match text {
        "1" => Ok(1),
        "10" => Ok(10),
        "100" => Ok(100),
        _ => Err("write 1, 10 or 100".to_owned()),
    }
}

impl Place {
    /// The scales up to the largest.
    pub fn scales(&self) -> impl Iterator<Item = u64> {
        [1, 10, 100]
            .into_iter()
            .filter(|scale| *scale <= self.scale)
    }

    /// The arguments that say the same to a child process.
    pub fn arguments(&self) -> Vec<String> {
        vec![
            format!("--folder={}", self.folder.display()),
            format!("--seed={}", self.seed),
            format!("--scale={}", self.scale),
            format!("--seconds={}", self.seconds),
        ]
    }
}

/// How the worker is configured.
#[derive(Args, Clone, Debug)]
pub struct Setting {
    /// The worker's memory in MiB; each part has a default of its own.
    #[arg(long)]
    pub memory_mib: Option<u64>,
    /// The worker's disk in MiB.
    #[arg(long, default_value_t = 16 << 10)]
    pub disk_mib: u64,
    /// The worker's profile; each part has a default of its own.
    #[arg(long, value_parser = profile)]
    pub profile: Option<Profile>,
    /// Threads of a DuckDB; 0 is one for each core.
    #[arg(long, default_value_t = 0)]
    pub threads: usize,
    /// Queries that run at once; 0 is one for each core.
    #[arg(long, default_value_t = 0)]
    pub concurrency: usize,
}

fn profile(text: &str) -> Result<Profile, String> {
    match text {
        "speed" => Ok(Profile::Speed),
        "cache" => Ok(Profile::Cache),
        "archive" => Ok(Profile::Archive),
        _ => Err("write speed, cache or archive".to_owned()),
    }
}

/// The name of a profile.
pub fn profile_name(profile: Profile) -> &'static str {
    match profile {
        Profile::Speed => "speed",
        Profile::Cache => "cache",
        Profile::Archive => "archive",
    }
}

impl Setting {
    /// The worker's configuration, where nothing else was said with so much memory and that
    /// profile.
    pub fn worker(&self, memory_mib: u64, profile: Profile) -> WorkerConfig {
        WorkerConfig {
            memory_bytes: self.memory_mib.unwrap_or(memory_mib) << 20,
            disk_bytes: self.disk_mib << 20,
            profile: self.profile.unwrap_or(profile),
            threads: self.threads,
            concurrency: self.concurrency,
            ..WorkerConfig::default()
        }
    }

    /// The arguments that say the same to a child process.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            format!("--disk-mib={}", self.disk_mib),
            format!("--threads={}", self.threads),
            format!("--concurrency={}", self.concurrency),
        ];
        if let Some(memory) = self.memory_mib {
            arguments.push(format!("--memory-mib={memory}"));
        }
        if let Some(profile) = self.profile {
            arguments.push(format!("--profile={}", profile_name(profile)));
        }
        arguments
    }
}

/// What most parts are told.
#[derive(Args, Clone, Debug)]
pub struct Flags {
    #[command(flatten)]
    pub place: Place,
    #[command(flatten)]
    pub setting: Setting,
}

/// The cores of the machine.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
