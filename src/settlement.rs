//! `streamsync settlement`.

use crate::{
    Failure,
    chain::{NetworkArgs, WalletArgs, address, chain, keypair, network, node},
    serve,
    settings::{flag, quoted},
};
use clap::Subcommand;
use std::{process::ExitCode, sync::Arc, time::Duration};
use streamsync_core::{Amount, clock::SystemClock, config::Config};
use streamsync_lake::Lake;
use streamsync_registry::Registry;
use streamsync_settlement::{ClaimReport, Followed, Follower, Outcome, Pubkey, Settler, audit};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// `streamsync settlement ...`.
#[derive(Subcommand)]
#[command(after_help = "Examples:
  streamsync settlement run --network 6Nk… --keypair settler.json --router 9xQ…
  streamsync settlement once --network 6Nk… --keypair settler.json --router 9xQ…
  streamsync settlement status --network 6Nk…
  streamsync settlement audit --network 6Nk… --all
  streamsync settlement claim --network 6Nk… --keypair settler.json --batch 12")]
pub enum SettlementCommand {
    /// Settle receipts in intervals until told to stop.
    Run(WorkArgs),
    /// Settle one batch, if there is something to pay, and end.
    Once(WorkArgs),
    /// Say how far the network is settled.
    Status(NetworkArgs),
    /// Compute settled batches again from the lake, and compare them with the chain.
    Audit(AuditArgs),
    /// Claim what nobody has claimed of a batch, for its recipients.
    Claim(ClaimArgs),
}

/// Flags of those that settle.
#[derive(clap::Args)]
pub struct WorkArgs {
    #[command(flatten)]
    wallet: WalletArgs,
    /// A router whose receipts are settled; give it for each of them.
    #[arg(long = "router", value_name = "KEY")]
    routers: Vec<String>,
    /// Leave rewards to be claimed by their recipients.
    #[arg(long)]
    no_claim: bool,
}

/// Flags of `audit`.
#[derive(clap::Args)]
pub struct AuditArgs {
    #[command(flatten)]
    network: NetworkArgs,
    /// The batch.
    #[arg(long, value_name = "NUMBER", required_unless_present = "all")]
    batch: Option<u64>,
    /// Every batch.
    #[arg(long, conflicts_with = "batch")]
    all: bool,
}

/// Flags of `claim`.
#[derive(clap::Args)]
pub struct ClaimArgs {
    #[command(flatten)]
    wallet: WalletArgs,
    /// The batch.
    #[arg(long, value_name = "NUMBER")]
    batch: u64,
}

/// Why the settlement cannot begin.
#[derive(Debug, thiserror::Error)]
enum SettlementFailure {
    #[error(
        "no router is named whose receipts are settled: give --router, or settlement.routers in the \
         configuration; each router says its key when it starts"
    )]
    NoRouters,
    #[error(
        "the key {given} may not settle in this network: its settler is {settler}; use that key"
    )]
    NotSettler { given: Pubkey, settler: Pubkey },
}

/// Does what is asked.
pub async fn run(command: SettlementCommand) -> Result<ExitCode, Failure> {
    match command {
        SettlementCommand::Run(args) => work(args, true).await,
        SettlementCommand::Once(args) => work(args, false).await,
        SettlementCommand::Status(args) => status(args).await,
        SettlementCommand::Audit(args) => audits(args).await,
        SettlementCommand::Claim(args) => claim(args).await,
    }
}

async fn open(config: &Config) -> Result<Settler, Failure> {
    let lake = Lake::open(&config.bucket)?;
    lake.check().await?;
    let registry = Registry::connect(&config.redis).await?;
    #[allow(
        clippy::disallowed_methods,
        reason = "differs from every other process's"
    )]
    let holder = Uuid::new_v4();
    let settler = Settler::open(
        node(config)?,
        network(config)?,
        keypair(config)?,
        (lake, registry),
        config.settlement.clone(),
        (Arc::new(SystemClock), holder),
    );
    Ok(settler.await?)
}

async fn work(args: WorkArgs, forever: bool) -> Result<ExitCode, Failure> {
    let routers = args.routers.iter().map(quoted).collect::<Vec<_>>();
    let config = args.wallet.load(vec![
        flag(
            "settlement.routers",
            (!routers.is_empty()).then(|| format!("[{}]", routers.join(","))),
        ),
        flag("settlement.claim", args.no_claim.then_some(false)),
    ])?;
    let telemetry = streamsync_telemetry::start(&config.telemetry, "settlement")?;
    streamsync_telemetry::expect_memory(serve::EXPECTED_MEMORY);
    if config.settlement.routers.is_empty() {
        return Err(SettlementFailure::NoRouters.into());
    }
    let settler = open(&config).await?;
    let given = settler.payer();
    let terms = settler.chain().network().await?.terms;
    if terms.settler != given {
        let settler = terms.settler;
        return Err(SettlementFailure::NotSettler { given, settler }.into());
    }
    if !forever {
        let followed = follower(&config, &settler).await?.once().await?;
        println!("{}", seen(&followed));
        let outcome = settler.once().await?;
        println!("{}", described(&outcome));
        return Ok(ExitCode::SUCCESS);
    }
    let stop = CancellationToken::new();
    serve::stop_on_signals(stop.clone())?;
    let serving = serve::observed(
        config.settlement.metrics_listen,
        telemetry.metrics(),
        || true,
        stop.clone(),
    );
    tracing::info!(network = %settler.chain().address().network, "the settlement works");
    let follower = follower(&config, &settler).await?;
    let every = Duration::from_secs(config.settlement.follow_every_s);
    let (served, (), ()) = tokio::join!(serving, settler.run(&stop), follower.run(every, &stop));
    served?;
    tracing::info!("the settlement has stopped");
    Ok(ExitCode::SUCCESS)
}

async fn follower(config: &Config, settler: &Settler) -> Result<Follower, Failure> {
    let registry = Registry::connect(&config.redis).await?;
    let mints = config.settlement.deposit_mints.iter();
    let mints: Vec<Pubkey> = mints.map(|mint| address(mint)).collect::<Result<_, _>>()?;
    let chain = settler.chain().clone();
    Ok(Follower::new(chain, registry, mints, Arc::new(SystemClock)))
}

fn seen(followed: &Followed) -> String {
    format!(
        "{} workers, {} with another stake than before; {} of deposits credited to {} clients",
        followed.workers, followed.changed, followed.amount, followed.credited
    )
}

fn described(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Busy => "another settlement is at work".to_owned(),
        Outcome::Idle { claims } => format!("nothing to settle; {}", claimed(claims)),
        Outcome::Settled {
            batch,
            receipts,
            rewards,
            total,
            claims,
        } => format!(
            "batch {batch}: {receipts} receipts, {rewards} rewards, {total}; {}",
            claimed(claims)
        ),
    }
}

fn claimed(report: &ClaimReport) -> String {
    let failed = match report.failed {
        0 => String::new(),
        failed => format!(", {failed} could not be"),
    };
    format!(
        "{} rewards of {} claimed in {} transactions{failed}",
        report.claimed, report.amount, report.transactions
    )
}

async fn status(args: NetworkArgs) -> Result<ExitCode, Failure> {
    let config = args.load(Vec::new())?;
    let _telemetry = streamsync_telemetry::start(&config.telemetry, "settlement")?;
    let chain = chain(&config).await?;
    let network = chain.network().await?;
    println!("network       {}", chain.address().network);
    println!("mint          {}", network.mint);
    println!("settler       {}", network.terms.settler);
    println!("paused        {}", network.paused);
    println!("last batch    {}", network.last_batch);
    println!("last receipt  {}", network.last_receipt);
    println!("staked        {}", Amount(network.staked));
    println!("not claimed   {}", Amount(network.owed));
    Ok(ExitCode::SUCCESS)
}

async fn audits(args: AuditArgs) -> Result<ExitCode, Failure> {
    let config = args.network.load(Vec::new())?;
    let _telemetry = streamsync_telemetry::start(&config.telemetry, "settlement")?;
    let chain = chain(&config).await?;
    let lake = Lake::open(&config.bucket)?;
    lake.check().await?;
    let batches = match args.batch {
        Some(batch) => batch..=batch,
        None => 1..=chain.network().await?.last_batch,
    };
    for number in batches {
        let done = audit(&chain, &lake, number).await?;
        match done.difference {
            None => println!(
                "batch {number}: {} receipts, as on the chain",
                done.receipts
            ),
            Some(found) => {
                println!(
                    "batch {number}: {} should be {}, and is {}",
                    found.what, found.expected, found.found
                );
                return Ok(ExitCode::FAILURE);
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn claim(args: ClaimArgs) -> Result<ExitCode, Failure> {
    let config = args.wallet.load(Vec::new())?;
    let _telemetry = streamsync_telemetry::start(&config.telemetry, "settlement")?;
    let settler = open(&config).await?;
    let report = settler.claim_batch(args.batch).await?;
    println!("{}", claimed(&report));
    Ok(match report.failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
