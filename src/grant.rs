//! `streamsync grant`.

use crate::Failure;
use std::{path::PathBuf, process::ExitCode};
use streamsync_core::{Identity, OperatorGrant, WorkerId};

/// Flags of `streamsync grant`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  streamsync grant --operator operator.json --worker 8qbHbw2BbbTHBW1sbeqakYXVKRQM8Ne7pLK7m6CVfeR > grant.json
  streamsync worker --bucket s3://lake --keypair worker.json --operator-grant grant.json")]
pub struct Args {
    /// The operator's key pair, as solana-keygen writes it.
    #[arg(long, value_name = "FILE")]
    operator: PathBuf,
    /// The worker's id: the public key of its key pair.
    #[arg(long, value_name = "ID")]
    worker: WorkerId,
}

/// Signs for a worker as its operator, and prints the grant.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let operator = Identity::read(&args.operator)?;
    let grant = OperatorGrant::new(&operator, args.worker);
    println!("{}", serde_json::to_string_pretty(&grant)?);
    Ok(ExitCode::SUCCESS)
}
