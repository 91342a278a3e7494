//! `streamsync ingest`.

use crate::{Failure, serve, settings::Settings};
use rand::{SeedableRng, rngs::StdRng};
use std::{path::PathBuf, process::ExitCode, str::FromStr, sync::Arc};
use streamsync_core::{Slot, clock::SystemClock};
use streamsync_ingest::{
    IngestOptions, Report, Source, account_file, decoded, ingest,
    progress::for_stderr,
    source::{
        files::BlockFiles,
        rpc::{RpcOptions, RpcSource, SlotRange},
        synthetic::Synthetic,
    },
};
use streamsync_lake::Lake;
use tokio_util::sync::CancellationToken;
use url::Url;

/// Flags of `streamsync ingest`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  streamsync ingest blocks/ --bucket ./lake
  streamsync ingest block.json --slot 254170887 --bucket s3://lake
  streamsync ingest --rpc http://127.0.0.1:8899 --last 100 --bucket ./lake
  streamsync ingest --decoded whirlpool-transactions.jsonl.gz --bucket ./lake
  streamsync ingest --accounts whirlpool-state.json.gz --bucket ./lake
  streamsync ingest --synthetic 42,1000,500 --bucket ./lake")]
pub struct Args {
    #[command(flatten)]
    settings: Settings,
    /// Files of blocks, or folders of them: getBlock JSON or protobuf ConfirmedBlock, plain or
    /// with gzip or zstd.
    #[arg(required_unless_present_any = ["rpc", "synthetic", "decoded", "accounts"], conflicts_with_all = ["rpc", "synthetic", "decoded", "accounts"])]
    paths: Vec<PathBuf>,
    /// The slot of a file that does not tell it.
    #[arg(long, requires = "paths")]
    slot: Option<u64>,
    /// A Solana JSON-RPC endpoint.
    #[arg(long, value_name = "URL", conflicts_with = "synthetic")]
    rpc: Option<Url>,
    /// The last so many finalised slots of the endpoint.
    #[arg(
        long,
        value_name = "SLOTS",
        requires = "rpc",
        conflicts_with = "slots",
        default_value_if("rpc", clap::builder::ArgPredicate::IsPresent, "10")
    )]
    last: Option<u64>,
    /// Slots of the endpoint, both included.
    #[arg(long, value_name = "FIRST-LAST", requires = "rpc")]
    slots: Option<Slots>,
    /// Made-up blocks: a seed, the number of slots, transactions a second.
    #[arg(long, value_name = "SEED,SLOTS,TPS")]
    synthetic: Option<Made>,
    /// A file of transactions that someone else has decoded, one block a line, plain or with gzip;
    /// their swaps go into the table `swaps`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rpc", "synthetic"])]
    decoded: Option<PathBuf>,
    /// A file of recorded states of accounts, plain or with gzip; they go into the table
    /// `account_states`, and from there, by the compactor, into `accounts`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["rpc", "synthetic", "decoded"])]
    accounts: Option<PathBuf>,
    /// Stop at the first block that cannot be ingested.
    #[arg(long)]
    strict: bool,
}

#[derive(Clone, Copy, Debug)]
struct Slots(Slot, Slot);

impl FromStr for Slots {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = |text: &str| text.trim().parse::<Slot>().ok();
        text.split_once('-')
            .and_then(|(first, last)| Some(Self(parse(first)?, parse(last)?)))
            .ok_or_else(|| {
                "write the first and the last slot, as in 254170887-254170990".to_owned()
            })
    }
}

#[derive(Clone, Copy, Debug)]
struct Made {
    seed: u64,
    slots: u64,
    per_second: u32,
}

impl FromStr for Made {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write three whole numbers, as in 42,1000,500".to_owned();
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        let [seed, slots, per_second] = parts[..] else {
            return Err(wrong());
        };
        let number = |text: &str| text.parse().map_err(|_| wrong());
        Ok(Self {
            seed: number(seed)?,
            slots: number(slots)?,
            per_second: per_second.parse().map_err(|_| wrong())?,
        })
    }
}

/// Ingests, and says what came of it. Fails when anything could not be ingested.
pub async fn run(args: Args) -> Result<ExitCode, Failure> {
    let config = args.settings.load(Vec::new())?;
    let _telemetry = streamsync_telemetry::start(&config.telemetry, "ingest")?;
    let stop = CancellationToken::new();
    serve::stop_on_signals(stop.clone())?;
    let lake = Lake::open(&config.bucket)?;
    let run = Run {
        lake,
        options: IngestOptions {
            strict: args.strict,
            stop,
            ..Default::default()
        },
    };

    if let Some(path) = args.accounts {
        match account_file::ingest(&path, &run.lake).await? {
            Some(states) => println!("{}: {states} states of accounts", path.display()),
            None => println!("{}: was there already", path.display()),
        }
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(path) = args.decoded {
        let report = decoded::ingest(&path, &run.lake, &run.options.stop).await?;
        println!("{}: {report}", path.display());
        return Ok(if report.stopped {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        });
    }
    let mut complete = true;
    if let Some(url) = args.rpc {
        let range = match (args.slots, args.last) {
            (Some(Slots(first, last)), _) => SlotRange::Between(first, last),
            (None, last) => SlotRange::Last(last.unwrap_or(10)),
        };
        let source = RpcSource::new(RpcOptions::new(url), range, StdRng::from_os_rng())?;
        complete = run.ingest(source).await?;
    } else if let Some(made) = args.synthetic {
        complete = run
            .ingest(Synthetic::new(made.seed, made.slots, made.per_second))
            .await?;
    }
    for path in args.paths {
        complete &= run
            .ingest(BlockFiles::open(path, args.slot.map(Slot))?)
            .await?;
    }
    Ok(if complete {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

struct Run {
    lake: Lake,
    options: IngestOptions,
}

impl Run {
    async fn ingest(&self, source: impl Source) -> Result<bool, Failure> {
        let from = source.describe();
        let progress = for_stderr(Arc::new(SystemClock));
        let report = ingest(source, &self.lake, self.options.clone(), progress).await?;
        print(&from, &report);
        Ok(report.is_complete())
    }
}

fn print(from: &str, report: &Report) {
    println!("{from}: {report}");
    for (table, rows) in &report.rows {
        println!("  {table:<22} {rows:>10} rows");
    }
    report
        .failures
        .iter()
        .for_each(|failure| println!("  failed: {failure}"));
    report
        .missing_parents
        .iter()
        .for_each(|gap| println!("  gap: {gap}"));
}
