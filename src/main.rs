//! `streamsync`: the one command.
//!
//! Each role is a feature of this package, all on by default; images are built with one of them.
#![cfg_attr(
    not(all(
        feature = "dev",
        feature = "compactor",
        feature = "ingest",
        feature = "settlement"
    )),
    allow(dead_code, reason = "what the roles share, one of them need not use")
)]

#[cfg(feature = "worker")]
mod autoscale;
#[cfg(feature = "client")]
mod backup;
#[cfg(feature = "client")]
mod bucket;
#[cfg(any(feature = "client", feature = "worker"))]
mod certs;
#[cfg(feature = "settlement")]
mod chain;
mod check_config;
#[cfg(feature = "compactor")]
mod compactor;
#[cfg(feature = "client")]
mod credit;
#[cfg(feature = "dev")]
mod dev;
#[cfg(feature = "client")]
mod doctor;
#[cfg(feature = "client")]
mod grant;
mod health;
#[cfg(any(feature = "client", feature = "worker"))]
mod identity;
#[cfg(feature = "ingest")]
mod ingest;
#[cfg(feature = "client")]
mod keys;
#[cfg(feature = "settlement")]
mod network;
#[cfg(feature = "router")]
mod notifications;
#[cfg(feature = "client")]
mod query;
#[cfg(feature = "client")]
mod receipts;
#[cfg(feature = "client")]
mod rewards;
#[cfg(feature = "router")]
mod router;
mod security;
mod serve;
mod settings;
#[cfg(feature = "settlement")]
mod settlement;
#[cfg(feature = "client")]
mod signing;
#[cfg(feature = "settlement")]
mod slash;
#[cfg(feature = "settlement")]
mod stake;
#[cfg(feature = "worker")]
mod worker;
#[cfg(feature = "worker")]
mod worker_process;

use clap::{Parser, Subcommand};
use std::{error::Error, process::ExitCode};

/// What a subcommand ends with when it fails.
type Failure = Box<dyn Error + Send + Sync>;

/// Answers SQL over Solana chain data by racing stateless workers over an open lake.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[cfg(feature = "dev")]
    /// Run everything on this machine: Redis, workers, and a router.
    Dev(dev::Args),
    #[cfg(feature = "router")]
    /// Run a router.
    Router(router::Args),
    #[cfg(feature = "worker")]
    /// Run a worker.
    Worker(worker::Args),
    #[cfg(feature = "worker")]
    /// Run as many workers on this machine as there is to do.
    Autoscale(autoscale::Args),
    #[cfg(feature = "ingest")]
    /// Bring blocks into the lake.
    Ingest(ingest::Args),
    #[cfg(feature = "compactor")]
    /// Keep the lake sorted, merged and small.
    #[command(subcommand)]
    Compactor(compactor::CompactorCommand),
    #[cfg(feature = "settlement")]
    /// Pay workers for their answers, on Solana.
    #[command(subcommand)]
    Settlement(settlement::SettlementCommand),
    #[cfg(feature = "settlement")]
    /// Make and govern a network on Solana.
    #[command(subcommand)]
    Network(network::NetworkCommand),
    #[cfg(feature = "settlement")]
    /// Show and move what an operator has at stake on Solana.
    #[command(subcommand)]
    Stake(stake::StakeCommand),
    #[cfg(feature = "client")]
    /// Show what the workers of an operator have earned.
    Rewards(rewards::Args),
    #[cfg(feature = "settlement")]
    /// Accuse workers of lies, and take stake for them.
    #[command(subcommand)]
    Slash(slash::SlashCommand),
    #[cfg(feature = "client")]
    /// Ask a router a question.
    Query(query::Args),
    #[cfg(feature = "client")]
    /// Make, list, rotate and revoke the API keys of clients.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    #[cfg(feature = "client")]
    /// Add and show the credit of clients.
    #[command(subcommand)]
    Credit(credit::CreditCommand),
    #[cfg(feature = "client")]
    /// List receipts, and check them offline.
    #[command(subcommand)]
    Receipts(receipts::ReceiptsCommand),
    #[cfg(any(feature = "client", feature = "worker"))]
    /// Make the certificates by which routers and workers know each other.
    #[command(subcommand)]
    Certs(certs::CertsCommand),
    #[cfg(feature = "client")]
    /// Sign for a worker as its operator, so that its workers do not confirm each other.
    Grant(grant::Args),
    #[cfg(feature = "client")]
    /// Copy what only Redis knows into the bucket, and put it back.
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    #[cfg(feature = "client")]
    /// Make the bucket that a lake lies in.
    #[command(subcommand)]
    Bucket(bucket::BucketCommand),
    /// Ask a process whether it is well.
    Health(health::Args),
    #[cfg(feature = "client")]
    /// Look at all that a StreamSync stands on, and say what is wrong with it.
    Doctor(doctor::Args),
    /// Look at the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Print the configuration in effect, with secrets masked.
    Check(check_config::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        #[cfg(feature = "dev")]
        Command::Dev(args) => dev::run(args).await,
        #[cfg(feature = "router")]
        Command::Router(args) => router::run(args).await,
        #[cfg(feature = "worker")]
        Command::Worker(args) => worker::run(args).await,
        #[cfg(feature = "worker")]
        Command::Autoscale(args) => autoscale::run(args).await,
        #[cfg(feature = "client")]
        Command::Backup(command) => backup::run(command).await,
        #[cfg(feature = "client")]
        Command::Bucket(command) => bucket::run(command).await,
        Command::Health(args) => health::run(args).await,
        #[cfg(feature = "ingest")]
        Command::Ingest(args) => ingest::run(args).await,
        #[cfg(feature = "compactor")]
        Command::Compactor(command) => compactor::run(command).await,
        #[cfg(feature = "settlement")]
        Command::Settlement(command) => settlement::run(command).await,
        #[cfg(feature = "settlement")]
        Command::Network(command) => network::run(command).await,
        #[cfg(feature = "settlement")]
        Command::Stake(command) => stake::run(command).await,
        #[cfg(feature = "client")]
        Command::Rewards(args) => rewards::run(args).await,
        #[cfg(feature = "settlement")]
        Command::Slash(command) => slash::run(command).await,
        #[cfg(feature = "client")]
        Command::Query(args) => query::run(args).await,
        #[cfg(feature = "client")]
        Command::Keys(command) => keys::run(command).await,
        #[cfg(feature = "client")]
        Command::Credit(command) => credit::run(command).await,
        #[cfg(feature = "client")]
        Command::Receipts(command) => receipts::run(command).await,
        #[cfg(any(feature = "client", feature = "worker"))]
        Command::Certs(command) => certs::run(&command),
        #[cfg(feature = "client")]
        Command::Grant(args) => grant::run(&args),
        #[cfg(feature = "client")]
        Command::Doctor(args) => doctor::run(args).await,
        Command::Config(ConfigCommand::Check(args)) => check_config::run(&args),
    };
    match result {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("error: {failure}");
            let mut cause = failure.source();
            while let Some(error) = cause {
                eprintln!("  because: {error}");
                cause = error.source();
            }
            ExitCode::FAILURE
        }
    }
}
