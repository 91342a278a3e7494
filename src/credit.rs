//! `streamsync credit`.

use crate::{
    Failure,
    chain::{WalletArgs, address},
    keys::{Access, actor},
};
use std::process::ExitCode;
use streamsync_core::{Amount, ClientId};
use streamsync_registry::Registry;
use streamsync_settlement::deposit_reference;

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
    /// Buy credit for a client on Solana, with tokens of the key's wallet. It is there once the
    /// deposit is finalized and the settlement has seen it.
    #[command(
        after_help = "Example:\n  streamsync credit buy acme 5000000000 --network 6Nk… --keypair client.json"
    )]
    Buy {
        /// Whose credit.
        client: ClientId,
        /// How much, in base units of the mint.
        amount: u64,
        /// The mint of the tokens; STRM by default.
        #[arg(long, value_name = "ADDRESS")]
        mint: Option<String>,
        #[command(flatten)]
        wallet: WalletArgs,
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
        CreditCommand::Buy {
            client,
            amount,
            mint,
            wallet,
        } => {
            let (_, wallet) = wallet.open().await?;
            let at = wallet.chain().address();
            let mint = mint.map_or(Ok(at.mint), |mint| address(&mint))?;
            let program = wallet.chain().token_program(mint).await?;
            let reference = deposit_reference(&client);
            let deposit = at.deposit(wallet.payer(), mint, program, amount, reference);
            let signature = wallet.send("deposit tokens", &[deposit]).await?;
            println!("transaction   {signature}");
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
