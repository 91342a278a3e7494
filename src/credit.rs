//! `streamsync credit`.

use crate::{
    Failure,
    keys::{Access, actor},
};
use std::process::ExitCode;
use streamsync_core::{Amount, ClientId};
use streamsync_registry::Registry;

/// Subcommands of `streamsync credit`.
#[derive(clap::Subcommand)]
pub enum CreditCommand {
    /// Add credit to a client.
    #[command(
        after_help = "Example:\n  streamsync credit add acme 1000000000 --deposit invoice-2026-117 --master-secrets master"
    )]
    Add {
        #[command(flatten)]
        access: Access,
        /// Whose credit.
        client: ClientId,
        /// How much, in base units of 10^-9 STRM.
        amount: u64,
        /// The name of the deposit: one of the same name is added once.
        #[arg(long, value_name = "NAME")]
        deposit: String,
    },
    /// Show what a client has.
    Show {
        #[command(flatten)]
        access: Access,
        /// Whose credit.
        client: ClientId,
    },
}

/// Adds and shows credit.
pub async fn run(command: CreditCommand) -> Result<ExitCode, Failure> {
    match command {
        CreditCommand::Add {
            access,
            client,
            amount,
            deposit,
        } => {
            let (_, registry, administration) = access.open().await?;
            let added = administration
                .add_credit(&client, Amount(amount), &deposit, &actor())
                .await?;
            if !added {
                println!("the deposit {deposit} was added before");
            }
            show(&registry, &client).await?;
        }
        CreditCommand::Show { access, client } => {
            let (_, registry, _) = access.open().await?;
            show(&registry, &client).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(registry: &Registry, client: &ClientId) -> Result<(), Failure> {
    let balance = registry.balance(client).await?;
    println!(
        "{client}: {} left, {} held by routers, {} spent, {} owed, of {} deposited",
        balance.balance, balance.leased, balance.spent, balance.debt, balance.deposited
    );
    Ok(())
}
