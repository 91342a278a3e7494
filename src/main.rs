//! `streamsync`: the one command.

mod autoscale;
mod backup;
mod bucket;
mod certs;
mod chain;
mod check_config;
mod compactor;
mod credit;
mod dev;
mod doctor;
mod grant;
mod health;
mod ingest;
mod keys;
mod network;
mod notifications;
mod query;
mod receipts;
mod rewards;
mod router;
mod security;
mod serve;
mod settings;
mod settlement;
mod signing;
mod slash;
mod stake;
mod worker;
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
    /// Run everything on this machine: Redis, workers, and a router.
    Dev(dev::Args),
    /// Run a router.
    Router(router::Args),
    /// Run a worker.
    Worker(worker::Args),
    /// Run as many workers on this machine as there is to do.
    Autoscale(autoscale::Args),
    /// Bring blocks into the lake.
    Ingest(ingest::Args),
    /// Keep the lake sorted, merged and small.
    #[command(subcommand)]
    Compactor(compactor::CompactorCommand),
    /// Pay workers for their answers, on Solana.
    #[command(subcommand)]
    Settlement(settlement::SettlementCommand),
    /// Make and govern a network on Solana.
    #[command(subcommand)]
    Network(network::NetworkCommand),
    /// Show and move what an operator has at stake on Solana.
    #[command(subcommand)]
    Stake(stake::StakeCommand),
    /// Show what the workers of an operator have earned.
    Rewards(rewards::Args),
    /// Accuse workers of lies, and take stake for them.
    #[command(subcommand)]
    Slash(slash::SlashCommand),
    /// Ask a router a question.
    Query(query::Args),
    /// Make, list, rotate and revoke the API keys of clients.
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Add and show the credit of clients.
    #[command(subcommand)]
    Credit(credit::CreditCommand),
    /// List receipts, and check them offline.
    #[command(subcommand)]
    Receipts(receipts::ReceiptsCommand),
    /// Make the certificates by which routers and workers know each other.
    #[command(subcommand)]
    Certs(certs::CertsCommand),
    /// Sign for a worker as its operator, so that its workers do not confirm each other.
    Grant(grant::Args),
    /// Copy what only Redis knows into the bucket, and put it back.
    #[command(subcommand)]
    Backup(backup::BackupCommand),
    /// Make the bucket that a lake lies in.
    #[command(subcommand)]
    Bucket(bucket::BucketCommand),
    /// Ask a process whether it is well.
    Health(health::Args),
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
        Command::Dev(args) => dev::run(args).await,
        Command::Router(args) => router::run(args).await,
        Command::Worker(args) => worker::run(args).await,
        Command::Autoscale(args) => autoscale::run(args).await,
        Command::Backup(command) => backup::run(command).await,
        Command::Bucket(command) => bucket::run(command).await,
        Command::Health(args) => health::run(args).await,
        Command::Ingest(args) => ingest::run(args).await,
        Command::Compactor(command) => compactor::run(command).await,
        Command::Settlement(command) => settlement::run(command).await,
        Command::Network(command) => network::run(command).await,
        Command::Stake(command) => stake::run(command).await,
        Command::Rewards(args) => rewards::run(args).await,
        Command::Slash(command) => slash::run(command).await,
        Command::Query(args) => query::run(args).await,
        Command::Keys(command) => keys::run(command).await,
        Command::Credit(command) => credit::run(command).await,
        Command::Receipts(command) => receipts::run(command).await,
        Command::Certs(command) => certs::run(&command),
        Command::Grant(args) => grant::run(&args),
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
