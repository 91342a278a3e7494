//! `streamsync config check`.

use crate::{Failure, settings::Settings};
use std::process::ExitCode;

/// Flags of `streamsync config check`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  streamsync config check --config streamsync.toml
  STREAMSYNC_ROUTER__MAX_ROWS=5 streamsync config check")]
pub struct Args {
    #[command(flatten)]
    settings: Settings,
}

/// Prints the configuration in effect, as TOML.
pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let config = args.settings.load(Vec::new())?;
    print!("{}", toml::to_string(&config)?);
    Ok(ExitCode::SUCCESS)
}
