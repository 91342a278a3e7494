//! `streamsync stake`.

use crate::{
    Failure,
    chain::{NetworkArgs, WalletArgs, address, chain},
};
use std::process::ExitCode;
use streamsync_core::{
    Amount,
    clock::{Clock, SystemClock},
};
use streamsync_settlement::{Chain, Pubkey, Wallet};

/// Subcommands of `streamsync stake`.
#[derive(clap::Subcommand)]
#[command(after_help = "Examples:
  streamsync stake deposit 10000000000000 --network 6Nk… --keypair operator.json
  streamsync stake status 9xQ… --network 6Nk…
  streamsync stake unstake 10000000000000 --network 6Nk… --keypair operator.json
  streamsync stake withdraw --network 6Nk… --keypair operator.json")]
pub enum StakeCommand {
    /// Say what an operator has at stake.
    Status {
        /// The operator's wallet.
        operator: String,
        #[command(flatten)]
        network: NetworkArgs,
    },
    /// Stake tokens of the operator's wallet, which the key file is of. Registers the operator if it
    /// is not yet.
    Deposit {
        /// How much, in base units of 10^-9 STRM.
        amount: u64,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// Ask for stake back: it does not count from now on, and can be withdrawn after the cooldown.
    Unstake {
        /// How much, in base units of 10^-9 STRM.
        amount: u64,
        #[command(flatten)]
        wallet: WalletArgs,
    },
    /// Withdraw what was asked for, once the cooldown is over.
    Withdraw {
        #[command(flatten)]
        wallet: WalletArgs,
    },
}

/// Shows and moves stakes.
pub async fn run(command: StakeCommand) -> Result<ExitCode, Failure> {
    match command {
        StakeCommand::Status { operator, network } => {
            let config = network.load(Vec::new())?;
            show(&chain(&config).await?, address(&operator)?).await
        }
        StakeCommand::Deposit { amount, wallet } => {
            let (_, wallet) = wallet.open().await?;
            let (owner, at) = (wallet.payer(), wallet.chain().address());
            let mut instructions = Vec::new();
            if wallet.chain().operators(&[owner]).await?.is_empty() {
                instructions.push(at.register_operator(owner, owner));
            }
            instructions.push(at.stake(owner, amount));
            act(&wallet, &format!("stake {}", Amount(amount)), &instructions).await
        }
        StakeCommand::Unstake { amount, wallet } => {
            let (_, wallet) = wallet.open().await?;
            let request = wallet
                .chain()
                .address()
                .request_unstake(wallet.payer(), amount);
            let action = format!("ask for {} back", Amount(amount));
            act(&wallet, &action, &[request]).await
        }
        StakeCommand::Withdraw { wallet } => {
            let (_, wallet) = wallet.open().await?;
            let withdraw = wallet.chain().address().withdraw(wallet.payer());
            let instructions = [wallet.open_tokens(), withdraw];
            act(&wallet, "withdraw stake", &instructions).await
        }
    }
}

async fn act(
    wallet: &Wallet,
    action: &str,
    instructions: &[streamsync_settlement::Instruction],
) -> Result<ExitCode, Failure> {
    let signature = wallet.send(action, instructions).await?;
    println!("transaction   {signature}");
    show(wallet.chain(), wallet.payer()).await
}

async fn show(chain: &Chain, owner: Pubkey) -> Result<ExitCode, Failure> {
    let least = Amount(chain.network().await?.terms.minimum_stake);
    println!("operator      {owner}");
    println!("network       {}", chain.address().network);
    let Some(operator) = chain.operators(&[owner]).await?.into_iter().next() else {
        println!("not registered; `streamsync stake deposit` does that");
        return Ok(ExitCode::FAILURE);
    };
    let stake = Amount(operator.stake);
    let enough = match stake >= least {
        true => "enough to be asked",
        false => "too little to be asked",
    };
    println!("stake         {stake}: {enough} (the least is {least})");
    println!("on the way    {}", Amount(operator.unstaking));
    if operator.unstaking > 0 {
        let now = i64::try_from(SystemClock.unix_millis() / 1_000).unwrap_or(i64::MAX);
        match operator.unlocks_at - now {
            left if left > 0 => println!("withdrawable  in {left} s"),
            _ => println!("withdrawable  now"),
        }
    }
    println!("slashed       {}", Amount(operator.slashed));
    Ok(ExitCode::SUCCESS)
}
