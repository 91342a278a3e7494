//! `streamsync slash`.

use crate::{Failure, chain::WalletArgs, settings::Settings};
use std::{path::PathBuf, process::ExitCode};
use streamsync_core::{Amount, OperatorGrant, QueryId, WorkerId};
use streamsync_lake::Lake;
use streamsync_registry::Registry;
use streamsync_settlement::slash::{Slashed, execute, propose};

/// Subcommands of `streamsync slash`.
#[derive(clap::Subcommand)]
#[command(after_help = "Examples:
  streamsync slash propose 0199… 8qbH… --bucket s3://lake
  streamsync slash execute 0199… 8qbH… 500000000000 --network 6Nk… --keypair slasher.json")]
pub enum SlashCommand {
    /// Accuse a worker of a lie: check that the evidence proves it, and write it to the bucket for
    /// all to see.
    Propose {
        /// The query that it answered wrongly.
        query: QueryId,
        /// The worker.
        worker: WorkerId,
        #[command(flatten)]
        settings: Settings,
        /// The operator's signature for the worker, as `streamsync grant` prints it; by default what
        /// the worker's heartbeat says now.
        #[arg(long, value_name = "FILE")]
        grant: Option<PathBuf>,
    },
    /// Take stake of an accused worker's operator. The key is the network's slasher.
    Execute {
        /// The query that it answered wrongly.
        query: QueryId,
        /// The worker.
        worker: WorkerId,
        /// How much, in base units of 10^-9 STRM.
        amount: u64,
        #[command(flatten)]
        wallet: WalletArgs,
    },
}

/// Accuses and slashes.
pub async fn run(command: SlashCommand) -> Result<ExitCode, Failure> {
    match command {
        SlashCommand::Propose {
            query,
            worker,
            settings,
            grant,
        } => {
            let config = settings.load(Vec::new())?;
            let lake = Lake::open(&config.bucket)?;
            let registry = Registry::connect(&config.redis).await?;
            let grant = match grant {
                Some(path) => Some(read_grant(&path)?),
                None => current_grant(&registry, worker).await?,
            };
            let (accusation, hash) = propose(&lake, &registry, query, worker, grant).await?;
            let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
            println!("query         {query}");
            println!("worker        {worker}");
            println!("operator      {}", accusation.operator());
            println!("sql           {}", accusation.evidence.query.sql);
            println!("hash          {hash}");
        }
        SlashCommand::Execute {
            query,
            worker,
            amount,
            wallet,
        } => {
            let (config, wallet) = wallet.open().await?;
            let lake = Lake::open(&config.bucket)?;
            match execute(&wallet, &lake, query, worker, Amount(amount)).await? {
                Slashed::Now { signature, amount } => {
                    println!("transaction   {signature}");
                    println!("slashed       {amount}");
                }
                Slashed::Before => println!("it was slashed for this before"),
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn read_grant(path: &std::path::Path) -> Result<OperatorGrant, Failure> {
    let json = std::fs::read(path)
        .map_err(|error| format!("could not read the grant {}: {error}", path.display()))?;
    let grant = serde_json::from_slice(&json);
    Ok(grant.map_err(|error| format!("{} is no grant: {error}", path.display()))?)
}

async fn current_grant(
    registry: &Registry,
    worker: WorkerId,
) -> Result<Option<OperatorGrant>, Failure> {
    let workers = registry.workers().await?;
    let known = workers
        .into_iter()
        .find(|known| known.heartbeat.worker == worker);
    Ok(known.and_then(|known| known.heartbeat.grant))
}
