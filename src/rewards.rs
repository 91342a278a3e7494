//! `streamsync rewards`.

use crate::{
    Failure,
    signing::{Asker, RouterArgs, refusal},
};
use reqwest::Method;
use serde::Deserialize;
use std::process::ExitCode;
use streamsync_core::{Amount, WorkerId};
use streamsync_registry::Paid;

/// Flags of `streamsync rewards`.
#[derive(clap::Args)]
#[command(after_help = "Example:
  streamsync rewards 8qbHbw2BbbTHBW1sbeqakYXVKRQM8Ne7pLK7m6CVfeR --key ops.json")]
pub struct Args {
    /// An operator or a worker, by its public key.
    operator: WorkerId,
    #[command(flatten)]
    router: RouterArgs,
}

#[derive(Deserialize)]
struct Rewards {
    workers: Vec<OfWorker>,
}

#[derive(Deserialize)]
struct OfWorker {
    worker: WorkerId,
    #[serde(flatten)]
    paid: Paid,
    pending: Amount,
}

/// Shows what the workers of an operator have earned.
pub async fn run(args: Args) -> Result<ExitCode, Failure> {
    let path = format!("/v1/rewards/{}", args.operator);
    let asker = Asker::new(&args.router)?;
    let response = asker
        .send(Method::GET, &path, "application/json", Vec::new())
        .await?;
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    let rewards: Rewards = serde_json::from_slice(&response.bytes().await?)?;
    for OfWorker {
        worker,
        paid,
        pending,
    } in rewards.workers
    {
        println!("worker        {worker}");
        match paid.last_batch {
            0 => println!("settled       nothing yet"),
            last => println!(
                "settled       {} since batch {}, the last in batch {last}",
                paid.total, paid.since_batch
            ),
        }
        println!("pending       {pending}");
    }
    Ok(ExitCode::SUCCESS)
}
