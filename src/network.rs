//! `streamsync network`.

use crate::{
    Failure,
    chain::{NetworkArgs, NodeArgs, WalletArgs, address, chain, keypair, node},
    settings::{flag, quoted},
};
use std::{path::PathBuf, process::ExitCode};
use streamsync_core::Amount;
use streamsync_settlement::{Chain, Pubkey, Terms, Wallet, public_key};

/// Subcommands of `streamsync network`.
#[derive(clap::Subcommand)]
#[command(after_help = "Examples:
  streamsync network create 4mS… --keypair authority.json --settler 9xQ… --treasury 7Yt…
  streamsync network show --network 6Nk…
  streamsync network update --network 6Nk… --keypair authority.json --minimum-stake 50000000000000
  streamsync network allow-mint 4mS… --network 6Nk… --keypair authority.json
  streamsync network pause --network 6Nk… --keypair authority.json")]
pub enum NetworkCommand {
    /// Make a network for a mint of STRM. The key is its first authority.
    Create {
        /// The mint.
        mint: String,
        #[command(flatten)]
        node: NodeArgs,
        /// The key file of the authority, which pays for the accounts.
        #[arg(long, value_name = "FILE")]
        keypair: Option<PathBuf>,
        #[command(flatten)]
        terms: TermsArgs,
    },
    /// Say what a network's terms are.
    Show {
        #[command(flatten)]
        network: NetworkArgs,
    },
    /// Change terms; those that are not given stay as they are.
    Update {
        #[command(flatten)]
        wallet: WalletArgs,
        #[command(flatten)]
        terms: TermsArgs,
    },
    /// Accept deposits of a mint as credit, or change what they are worth from now on.
    AllowMint {
        /// The mint.
        mint: String,
        /// So many base units of STRM...
        #[arg(long, default_value_t = 1, value_name = "UNITS")]
        credit: u64,
        /// ...for so many base units of the mint.
        #[arg(long, default_value_t = 1, value_name = "UNITS")]
        per: u64,
        /// Accept no more of them.
        #[arg(long)]
        stop: bool,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// Stop all movements of money but the withdrawal of stakes.
    Pause {
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// Let money move again.
    Resume {
        #[command(flatten)]
        wallet: WalletArgs,
    },
}

/// Terms of a network.
#[derive(clap::Args)]
pub struct TermsArgs {
    /// Who may settle; the authority by default.
    #[arg(long, value_name = "ADDRESS")]
    settler: Option<String>,
    /// Who may slash; the authority by default.
    #[arg(long, value_name = "ADDRESS")]
    slasher: Option<String>,
    /// Who gets the treasury's part and slashed stakes; the authority by default.
    #[arg(long, value_name = "ADDRESS")]
    treasury: Option<String>,
    /// Who gets the part for data; the authority by default.
    #[arg(long, value_name = "ADDRESS")]
    data: Option<String>,
    /// Who gets the part for governance; the authority by default.
    #[arg(long, value_name = "ADDRESS")]
    governance: Option<String>,
    /// How long stake is kept back after it was asked for, in seconds; 7 days by default.
    #[arg(long, value_name = "SECONDS")]
    cooldown_s: Option<i64>,
    /// What an operator must have at stake, in base units; 10,000 STRM by default.
    #[arg(long, value_name = "UNITS")]
    minimum_stake: Option<u64>,
    /// How often receipts are settled, in seconds; 300 by default.
    #[arg(long, value_name = "SECONDS")]
    batch_interval_s: Option<u32>,
    /// The most that one event can cost, in hundredths of a percent of the stake; 1000 by default.
    #[arg(long, value_name = "BASIS POINTS")]
    max_slash: Option<u16>,
}

impl TermsArgs {
    /// Terms, with what is given in the place of what they were.
    fn over(&self, before: Terms) -> Result<Terms, Failure> {
        let who = |given: &Option<String>, before: Pubkey| match given {
            Some(text) => address(text),
            None => Ok(before),
        };
        Ok(Terms {
            settler: who(&self.settler, before.settler)?,
            slasher: who(&self.slasher, before.slasher)?,
            treasury: who(&self.treasury, before.treasury)?,
            data: who(&self.data, before.data)?,
            governance: who(&self.governance, before.governance)?,
            shares: before.shares,
            cooldown_s: self.cooldown_s.unwrap_or(before.cooldown_s),
            minimum_stake: self.minimum_stake.unwrap_or(before.minimum_stake),
            batch_interval_s: self.batch_interval_s.unwrap_or(before.batch_interval_s),
            max_slash: self.max_slash.unwrap_or(before.max_slash),
        })
    }
}

/// Makes, shows and governs networks.
pub async fn run(command: NetworkCommand) -> Result<ExitCode, Failure> {
    match command {
        NetworkCommand::Create {
            mint,
            node: at,
            keypair: path,
            terms,
        } => {
            let path = path.map(|path| quoted(path.display()));
            let config = at.load(vec![flag("settlement.keypair", path)])?;
            let authority = keypair(&config)?;
            let terms = terms.over(Terms::new(public_key(&authority)))?;
            let (node, mint) = (node(&config)?, address(&mint)?);
            let settlement = &config.settlement;
            let made =
                Wallet::create_network(node.as_ref(), &authority, mint, terms, settlement).await?;
            show(&Chain::open(node, made.network).await?).await
        }
        NetworkCommand::Show { network } => show(&chain(&network.load(Vec::new())?).await?).await,
        NetworkCommand::Update { wallet, terms } => {
            let (_, wallet) = wallet.open().await?;
            let terms = terms.over(wallet.chain().network().await?.terms)?;
            let update = wallet
                .chain()
                .address()
                .update_config(wallet.payer(), terms);
            wallet.send("change the network's terms", &[update]).await?;
            show(wallet.chain()).await
        }
        NetworkCommand::AllowMint {
            mint,
            credit,
            per,
            stop,
            wallet,
        } => {
            let (_, wallet) = wallet.open().await?;
            let mint = address(&mint)?;
            let program = wallet.chain().token_program(mint).await?;
            let at = wallet.chain().address();
            let allow = at.allow_mint(wallet.payer(), mint, program, (credit, per), !stop);
            let signature = wallet.send("allow deposits of a mint", &[allow]).await?;
            println!("transaction   {signature}");
            Ok(ExitCode::SUCCESS)
        }
        NetworkCommand::Pause { wallet } => pause(&wallet, true).await,
        NetworkCommand::Resume { wallet } => pause(&wallet, false).await,
    }
}

async fn pause(wallet: &WalletArgs, paused: bool) -> Result<ExitCode, Failure> {
    let (_, wallet) = wallet.open().await?;
    let pause = wallet.chain().address().pause(wallet.payer(), paused);
    let action = if paused {
        "pause the network"
    } else {
        "resume the network"
    };
    wallet.send(action, &[pause]).await?;
    show(wallet.chain()).await
}

async fn show(chain: &Chain) -> Result<ExitCode, Failure> {
    let network = chain.network().await?;
    let terms = &network.terms;
    println!("network       {}", chain.address().network);
    println!("mint          {}", network.mint);
    println!("authority     {}", network.authority);
    println!("settler       {}", terms.settler);
    println!("slasher       {}", terms.slasher);
    println!("treasury      {}", terms.treasury);
    println!("data          {}", terms.data);
    println!("governance    {}", terms.governance);
    println!("least stake   {}", Amount(terms.minimum_stake));
    println!("cooldown      {} s", terms.cooldown_s);
    println!("interval      {} s", terms.batch_interval_s);
    println!(
        "most slashed  {}.{:02} %",
        terms.max_slash / 100,
        terms.max_slash % 100
    );
    println!("paused        {}", network.paused);
    println!("last batch    {}", network.last_batch);
    Ok(ExitCode::SUCCESS)
}
