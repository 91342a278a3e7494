//! `streamsync config check`.

use crate::{Failure, settings::Settings};
use std::process::ExitCode;

/// Flags of `streamsync config check`.
#[derive(clap::Args)]
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
