//! Flags of the subcommands that speak to a Solana node.

use crate::{
    Failure,
    settings::{Settings, flag, quoted},
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use streamsync_core::config::{Config, Flag};
use streamsync_settlement::{Chain, JsonRpc, Keypair, Pubkey, Wallet, read_keypair_file};

/// Where a node on this machine listens.
const LOCAL_NODE: &str = "http://127.0.0.1:8899";

/// Which node is asked.
#[derive(clap::Args)]
pub struct NodeArgs {
    #[command(flatten)]
    settings: Settings,
    /// The Solana node.
    #[arg(long, value_name = "URL")]
    rpc_url: Option<String>,
}

/// Where the network is.
#[derive(clap::Args)]
pub struct NetworkArgs {
    #[command(flatten)]
    node: NodeArgs,
    /// The address of the network's account on the chain.
    #[arg(long, value_name = "ADDRESS")]
    network: Option<String>,
}

/// Who acts in a network.
#[derive(clap::Args)]
pub struct WalletArgs {
    #[command(flatten)]
    network: NetworkArgs,
    /// The key file of who signs and pays for transactions, as solana-keygen writes it.
    #[arg(long, value_name = "FILE")]
    keypair: Option<PathBuf>,
}

/// What is missing on the command line and in the configuration.
#[derive(Debug, thiserror::Error)]
enum ChainFailure {
    #[error("no network is named: give --network, or settlement.network in the configuration")]
    NoNetwork,
    #[error("`{0}` is no address: it is a public key in base58")]
    Address(String),
    #[error("no key is named: give --keypair, or settlement.keypair in the configuration")]
    NoKeypair,
    #[error("could not read the key file {path}: {reason}", path = .path.display())]
    Keypair { path: PathBuf, reason: String },
}

impl NodeArgs {
    /// The configuration, with these flags and those of the subcommand on top.
    pub fn load(&self, more: Vec<Option<Flag>>) -> Result<Config, Failure> {
        let mut flags = vec![flag(
            "settlement.rpc_url",
            self.rpc_url.as_deref().map(quoted),
        )];
        flags.extend(more);
        Ok(self.settings.load(flags)?)
    }
}

impl NetworkArgs {
    /// As [`NodeArgs::load`].
    pub fn load(&self, mut more: Vec<Option<Flag>>) -> Result<Config, Failure> {
        more.push(flag(
            "settlement.network",
            self.network.as_deref().map(quoted),
        ));
        self.node.load(more)
    }
}

impl WalletArgs {
    /// As [`NodeArgs::load`].
    pub fn load(&self, mut more: Vec<Option<Flag>>) -> Result<Config, Failure> {
        let keypair = self.keypair.as_ref().map(|path| quoted(path.display()));
        more.push(flag("settlement.keypair", keypair));
        self.network.load(more)
    }

    /// The configuration, and the wallet in its network.
    pub async fn open(&self) -> Result<(Config, Wallet), Failure> {
        let config = self.load(Vec::new())?;
        let keypair = keypair(&config)?;
        let wallet = Wallet::new(chain(&config).await?, keypair, &config.settlement);
        Ok((config, wallet))
    }
}

/// An address on the command line.
pub fn address(text: &str) -> Result<Pubkey, Failure> {
    let parsed = text.parse();
    Ok(parsed.map_err(|_| ChainFailure::Address(text.to_owned()))?)
}

/// The network that is configured.
pub fn network(config: &Config) -> Result<Pubkey, Failure> {
    let network = config.settlement.network.as_deref();
    address(network.ok_or(ChainFailure::NoNetwork)?)
}

/// The key that is configured.
pub fn keypair(config: &Config) -> Result<Keypair, Failure> {
    let path = config.settlement.keypair.clone();
    let path = path.ok_or(ChainFailure::NoKeypair)?;
    let read = read_keypair_file(&path);
    Ok(read.map_err(|error| ChainFailure::Keypair {
        path,
        reason: error.to_string(),
    })?)
}

/// The node that is configured.
pub fn node(config: &Config) -> Result<Arc<JsonRpc>, Failure> {
    let settlement = &config.settlement;
    let timeout = Duration::from_millis(settlement.rpc_timeout_ms);
    let url = match &settlement.rpc_url {
        Some(url) => url.clone(),
        None => LOCAL_NODE.parse()?,
    };
    Ok(Arc::new(JsonRpc::new(&url, timeout)))
}

/// The network on the chain.
pub async fn chain(config: &Config) -> Result<Chain, Failure> {
    Ok(Chain::open(node(config)?, network(config)?).await?)
}
