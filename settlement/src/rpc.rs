//! Speaking to a Solana node.

use async_trait::async_trait;
use solana_commitment_config::CommitmentConfig;
use solana_pubkey::Pubkey;
use solana_rpc_client::nonblocking::rpc_client::RpcClient;
use solana_rpc_client_api::{
    client_error::{Error as ClientError, ErrorKind},
    config::RpcSendTransactionConfig,
    request::RpcError as RequestError,
};
use solana_transaction::Transaction;
use solana_transaction_error::TransactionError;
use std::time::Duration;
use streamsync_core::SecretUrl;

/// What a transaction is recorded with.
pub type Signature = solana_transaction::Signature;
/// The hash of a block, which a transaction refers to so that it expires.
pub type Hash = solana_transaction::Hash;

/// An account as it is after the last finalized block.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Account {
    /// The program that it belongs to.
    pub owner: Pubkey,
    /// Its contents.
    pub data: Vec<u8>,
}

/// What became of a transaction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Status {
    /// The node has not seen it.
    Unknown,
    /// It is in a block that could still be dropped.
    Pending,
    /// It is in a finalized block, and has succeeded.
    Finalized,
    /// It is in a finalized block, and has failed.
    Failed(TransactionError),
}

/// Why a node did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum RpcError {
    /// The node has tried a transaction, and it failed.
    #[error("the transaction would fail: {error}; the program says: {}", logs.join(" / "))]
    Refused {
        /// How.
        error: TransactionError,
        /// What the programs have logged, the end of it.
        logs: Vec<String>,
    },
    /// It could not be reached, or gave an error. What was asked for may have been done.
    #[error("could not {action} at the Solana node {url}: check settlement.rpc_url")]
    Failed {
        /// What was being done.
        action: &'static str,
        /// The node.
        url: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A Solana node.
#[async_trait]
pub trait Rpc: Send + Sync + 'static {
    /// Accounts, in the order that they are asked for; at most 100.
    async fn accounts(&self, addresses: &[Pubkey]) -> Result<Vec<Option<Account>>, RpcError>;

    /// The hash of a recent block, and the last height of a block that a transaction with it can be
    /// in.
    async fn blockhash(&self) -> Result<(Hash, u64), RpcError>;

    /// The height of the last finalized block.
    async fn block_height(&self) -> Result<u64, RpcError>;

    /// Sends a transaction. It may land though this fails, or not though it succeeds.
    async fn send(&self, transaction: &Transaction) -> Result<(), RpcError>;

    /// What became of a transaction.
    async fn status(&self, signature: &Signature) -> Result<Status, RpcError>;
}

/// A node that is reached by JSON-RPC.
pub struct JsonRpc {
    client: RpcClient,
    url: String,
}

/// How many lines of a program's log an error repeats.
const LOG_LINES: usize = 4;

impl JsonRpc {
    /// A node. Nothing is asked of it yet.
    pub fn new(url: &SecretUrl, timeout: Duration) -> Self {
        let finalized = CommitmentConfig::finalized();
        let whole = url.expose().to_string();
        Self {
            client: RpcClient::new_with_timeout_and_commitment(whole, timeout, finalized),
            url: url.to_string(),
        }
    }

    fn failed(&self, action: &'static str) -> impl FnOnce(ClientError) -> RpcError + use<> {
        let url = self.url.clone();
        move |error| match refusal(&error) {
            Some((error, logs)) => RpcError::Refused { error, logs },
            None => RpcError::Failed {
                action,
                url,
                source: match *error.kind {
                    // It would repeat the URL, which may hold a key.
                    ErrorKind::Reqwest(error) => Box::new(error.without_url()),
                    other => Box::new(other),
                },
            },
        }
    }
}

/// The error of a transaction that the node has tried before it took it.
fn refusal(error: &ClientError) -> Option<(TransactionError, Vec<String>)> {
    use solana_rpc_client_api::request::RpcResponseErrorData;
    match error.kind() {
        ErrorKind::TransactionError(error) => Some((error.clone(), Vec::new())),
        ErrorKind::RpcError(RequestError::RpcResponseError {
            data: RpcResponseErrorData::SendTransactionPreflightFailure(result),
            ..
        }) => {
            let logs = result.logs.clone().unwrap_or_default();
            let skipped = logs.len().saturating_sub(LOG_LINES);
            let error = result.err.clone()?;
            Some((error.into(), logs.into_iter().skip(skipped).collect()))
        }
        _ => None,
    }
}

#[async_trait]
impl Rpc for JsonRpc {
    async fn accounts(&self, addresses: &[Pubkey]) -> Result<Vec<Option<Account>>, RpcError> {
        let found = self.client.get_multiple_accounts(addresses).await;
        let found = found.map_err(self.failed("read accounts"))?;
        let found = found.into_iter().map(|account| {
            account.map(|account| Account {
                owner: account.owner,
                data: account.data,
            })
        });
        Ok(found.collect())
    }

    async fn blockhash(&self) -> Result<(Hash, u64), RpcError> {
        // A finalized one is old already; a confirmed one is hardly ever dropped.
        let confirmed = CommitmentConfig::confirmed();
        self.client
            .get_latest_blockhash_with_commitment(confirmed)
            .await
            .map_err(self.failed("ask for a blockhash"))
    }

    async fn block_height(&self) -> Result<u64, RpcError> {
        let height = self.client.get_block_height().await;
        height.map_err(self.failed("ask for the block height"))
    }

    async fn send(&self, transaction: &Transaction) -> Result<(), RpcError> {
        let config = RpcSendTransactionConfig {
            preflight_commitment: Some(CommitmentConfig::confirmed().commitment),
            // It is sent again here, as long as it can land.
            max_retries: Some(0),
            ..RpcSendTransactionConfig::default()
        };
        let sent = self
            .client
            .send_transaction_with_config(transaction, config)
            .await;
        sent.map(drop).map_err(self.failed("send a transaction"))
    }

    async fn status(&self, signature: &Signature) -> Result<Status, RpcError> {
        let statuses = self.client.get_signature_statuses(&[*signature]).await;
        let statuses = statuses.map_err(self.failed("ask for a transaction"))?;
        let Some(status) = statuses.value.into_iter().next().flatten() else {
            return Ok(Status::Unknown);
        };
        if !status.satisfies_commitment(CommitmentConfig::finalized()) {
            return Ok(Status::Pending);
        }
        Ok(match status.err {
            None => Status::Finalized,
            Some(error) => Status::Failed(error),
        })
    }
}
