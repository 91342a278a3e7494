//! `streamsync settlement`.

use crate::{
    Failure, serve,
    settings::{Settings, flag, quoted},
};
use clap::Subcommand;
use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};
use streamsync_core::{Amount, clock::SystemClock, config::Config, telemetry};
use streamsync_lake::Lake;
use streamsync_registry::Registry;
use streamsync_settlement::{
    Chain, ClaimReport, JsonRpc, Keypair, Outcome, Pubkey, Settler, audit, read_keypair_file,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Where a node on this machine listens.
const LOCAL_NODE: &str = "http://127.0.0.1:8899";

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
    Status(LookArgs),
    /// Compute settled batches again from the lake, and compare them with the chain.
    Audit(AuditArgs),
    /// Claim what nobody has claimed of a batch, for its recipients.
    Claim(ClaimArgs),
}

/// Where the network is.
#[derive(clap::Args)]
pub struct LookArgs {
    #[command(flatten)]
    settings: Settings,
    /// The address of the network's account on the chain.
    #[arg(long, value_name = "ADDRESS")]
    network: Option<String>,
    /// The Solana node.
    #[arg(long, value_name = "URL")]
    rpc_url: Option<String>,
}

/// Flags of those that settle.
#[derive(clap::Args)]
pub struct WorkArgs {
    #[command(flatten)]
    look: LookArgs,
    /// The key file of the settler, which pays for transactions.
    #[arg(long, value_name = "FILE")]
    keypair: Option<PathBuf>,
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
    look: LookArgs,
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
    look: LookArgs,
    /// The key file of who pays for the transactions.
    #[arg(long, value_name = "FILE")]
    keypair: Option<PathBuf>,
    /// The batch.
    #[arg(long, value_name = "NUMBER")]
    batch: u64,
}

/// Why the settlement cannot begin.
#[derive(Debug, thiserror::Error)]
enum SettlementFailure {
    #[error("no network is named: give --network, or settlement.network in the configuration")]
    NoNetwork,
    #[error("`{0}` is no address of a network: it is a public key in base58")]
    Address(String),
    #[error("no key is named: give --keypair, or settlement.keypair in the configuration")]
    NoKeypair,
    #[error("could not read the key file {path}: {reason}", path = .path.display())]
    Keypair { path: PathBuf, reason: String },
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

fn load(look: &LookArgs, more: Vec<Option<(&'static str, String)>>) -> Result<Config, Failure> {
    let mut flags = vec![
        flag("settlement.network", look.network.as_deref().map(quoted)),
        flag("settlement.rpc_url", look.rpc_url.as_deref().map(quoted)),
    ];
    flags.extend(more);
    Ok(look.settings.load(flags)?)
}

fn network_of(config: &Config) -> Result<Pubkey, SettlementFailure> {
    let network = config.settlement.network.as_ref();
    let network = network.ok_or(SettlementFailure::NoNetwork)?;
    let address = network.parse();
    address.map_err(|_| SettlementFailure::Address(network.clone()))
}

fn keypair_of(config: &Config) -> Result<Keypair, SettlementFailure> {
    let path = config.settlement.keypair.clone();
    let path = path.ok_or(SettlementFailure::NoKeypair)?;
    read_keypair_file(&path).map_err(|error| SettlementFailure::Keypair {
        path,
        reason: error.to_string(),
    })
}

fn node(config: &Config) -> Result<Arc<JsonRpc>, Failure> {
    let settlement = &config.settlement;
    let timeout = Duration::from_millis(settlement.rpc_timeout_ms);
    let url = match &settlement.rpc_url {
        Some(url) => url.clone(),
        None => LOCAL_NODE.parse()?,
    };
    Ok(Arc::new(JsonRpc::new(&url, timeout)))
}

async fn open(config: &Config, keypair: Keypair) -> Result<Settler, Failure> {
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
        network_of(config)?,
        keypair,
        (lake, registry),
        config.settlement.clone(),
        (Arc::new(SystemClock), holder),
    );
    Ok(settler.await?)
}

async fn work(args: WorkArgs, forever: bool) -> Result<ExitCode, Failure> {
    let routers = args.routers.iter().map(quoted).collect::<Vec<_>>();
    let config = load(
        &args.look,
        vec![
            flag(
                "settlement.keypair",
                args.keypair.map(|path| quoted(path.display())),
            ),
            flag(
                "settlement.routers",
                (!routers.is_empty()).then(|| format!("[{}]", routers.join(","))),
            ),
            flag("settlement.claim", args.no_claim.then_some(false)),
        ],
    )?;
    let metrics = telemetry::start(&config.telemetry)?;
    if config.settlement.routers.is_empty() {
        return Err(SettlementFailure::NoRouters.into());
    }
    let keypair = keypair_of(&config)?;
    let settler = open(&config, keypair).await?;
    let given = settler.payer();
    let terms = settler.chain().network().await?.terms;
    if terms.settler != given {
        let settler = terms.settler;
        return Err(SettlementFailure::NotSettler { given, settler }.into());
    }
    if !forever {
        let outcome = settler.once().await?;
        println!("{}", described(&outcome));
        return Ok(ExitCode::SUCCESS);
    }
    let stop = CancellationToken::new();
    serve::stop_on_signals(stop.clone())?;
    let serving = serve::metrics(config.settlement.metrics_listen, metrics, stop.clone());
    tracing::info!(network = %settler.chain().address().network, "the settlement works");
    let (served, ()) = tokio::join!(serving, settler.run(&stop));
    served?;
    tracing::info!("the settlement has stopped");
    Ok(ExitCode::SUCCESS)
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

async fn chain_of(config: &Config) -> Result<Chain, Failure> {
    Ok(Chain::open(node(config)?, network_of(config)?).await?)
}

async fn status(args: LookArgs) -> Result<ExitCode, Failure> {
    let config = load(&args, Vec::new())?;
    telemetry::start(&config.telemetry)?;
    let chain = chain_of(&config).await?;
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
    let config = load(&args.look, Vec::new())?;
    telemetry::start(&config.telemetry)?;
    let chain = chain_of(&config).await?;
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
    let keypair = args.keypair.map(|path| quoted(path.display()));
    let config = load(&args.look, vec![flag("settlement.keypair", keypair)])?;
    telemetry::start(&config.telemetry)?;
    let settler = open(&config, keypair_of(&config)?).await?;
    let report = settler.claim_batch(args.batch).await?;
    println!("{}", claimed(&report));
    Ok(match report.failed {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}
