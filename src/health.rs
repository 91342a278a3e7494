//! `streamsync health`.

use crate::Failure;
use reqwest::Client;
use std::{process::ExitCode, time::Duration};
use streamsync_core::with_causes;
use url::Url;

/// Flags of `streamsync health`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  streamsync health http://127.0.0.1:9090/readyz    # for containers, which have no curl")]
pub struct Args {
    /// What is asked: `/healthz` or `/readyz` where the process listens for scrapers and probes.
    url: Url,
    /// How long the answer may take, in milliseconds.
    #[arg(long, default_value_t = 2_000, value_name = "MS")]
    timeout: u64,
}

/// Succeeds if the process answers that all is well.
pub async fn run(args: Args) -> Result<ExitCode, Failure> {
    let client = Client::builder()
        .no_proxy()
        .timeout(Duration::from_millis(args.timeout))
        .build()?;
    let response = client.get(args.url.clone()).send().await;
    let response = response.map_err(|error| {
        let why = with_causes(&error.without_url());
        format!("could not ask {}: {why}", args.url)
    })?;
    let status = response.status();
    print!("{}", response.text().await?);
    match status.is_success() {
        true => Ok(ExitCode::SUCCESS),
        false => Err(format!("{} answered {status}", args.url).into()),
    }
}
