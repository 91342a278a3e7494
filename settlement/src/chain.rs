//! The network on the chain.

use crate::{Account, Batch, Rpc, RpcError, SubmitError};
use anchor_lang::AccountDeserialize;
use solana_pubkey::Pubkey;
use std::{collections::BTreeSet, ops::RangeInclusive, sync::Arc};
use strm::{
    client::NetworkAddress,
    state::{self, ClaimsPage, Deposits, Network, Operator, PAGE_LEAVES},
};

/// Accounts that are asked for at once.
const ACCOUNTS_AT_ONCE: usize = 100;

/// A network as it is on the chain.
#[derive(Clone)]
pub struct Chain {
    rpc: Arc<dyn Rpc>,
    address: NetworkAddress,
}

/// Why something could not be done with the network on the chain.
#[derive(Debug, thiserror::Error)]
pub enum ChainError {
    /// The node could not be asked.
    #[error(transparent)]
    Rpc(#[from] RpcError),
    /// There is nothing at the address.
    #[error(
        "there is no {what} at {address}: check settlement.network, and that settlement.rpc_url is \
         of the same cluster"
    )]
    NotThere {
        /// What was looked for.
        what: &'static str,
        /// The address.
        address: Pubkey,
    },
    /// There is something else at the address.
    #[error("the account {address} is no {what} of the program {}", strm::ID)]
    Other {
        /// What was looked for.
        what: &'static str,
        /// The address.
        address: Pubkey,
    },
    /// A transaction failed.
    #[error("could not {action}")]
    Submit {
        /// What it was to do.
        action: String,
        /// The cause.
        #[source]
        source: SubmitError,
    },
    /// The chain has settled another batch of this number.
    #[error(
        "batch {number} on the chain is not the one in the bucket: the file's hash is {here}, and \
         the chain has {there}; nothing is settled until somebody has found out why"
    )]
    OtherBatch {
        /// The batch.
        number: u64,
        /// The hash of the file, in hexadecimal.
        here: String,
        /// The hash on the chain.
        there: String,
    },
}

impl Chain {
    /// The network at an address.
    ///
    /// # Errors
    ///
    /// A node that does not answer, and an address without a network.
    pub async fn open(rpc: Arc<dyn Rpc>, network: Pubkey) -> Result<Self, ChainError> {
        let state: Network =
            read(rpc.as_ref(), network, "network")
                .await?
                .ok_or(ChainError::NotThere {
                    what: "network",
                    address: network,
                })?;
        let token_program = token_program(rpc.as_ref(), state.mint).await?;
        Ok(Self {
            rpc,
            address: NetworkAddress {
                network,
                mint: state.mint,
                token_program,
            },
        })
    }

    /// The addresses of the network.
    pub fn address(&self) -> NetworkAddress {
        self.address
    }

    /// The token program of a mint.
    pub async fn token_program(&self, mint: Pubkey) -> Result<Pubkey, ChainError> {
        token_program(self.rpc.as_ref(), mint).await
    }

    /// The network as it is after the last finalized block.
    pub async fn network(&self) -> Result<Network, ChainError> {
        let address = self.address.network;
        let network = read(self.rpc.as_ref(), address, "network").await?;
        network.ok_or(ChainError::NotThere {
            what: "network",
            address,
        })
    }

    /// A batch as it is after the last finalized block; `None` if it is not settled.
    pub async fn batch(&self, number: u64) -> Result<Option<state::Batch>, ChainError> {
        let batches = self.batches(number..=number).await?;
        Ok(batches.into_iter().next())
    }

    /// Those of some batches that are settled, in their order.
    pub async fn batches(
        &self,
        numbers: RangeInclusive<u64>,
    ) -> Result<Vec<state::Batch>, ChainError> {
        let addresses = numbers.map(|number| self.address.batch(number)).collect();
        self.some(addresses, "batch").await
    }

    /// Those of some operators, by their wallets, that are registered.
    pub async fn operators(&self, owners: &[Pubkey]) -> Result<Vec<Operator>, ChainError> {
        let addresses = owners.iter().map(|owner| self.address.operator(owner));
        self.some(addresses.collect(), "operator").await
    }

    /// The deposits of a mint for some references, where there are any.
    pub async fn deposits(
        &self,
        mint: &Pubkey,
        references: &[[u8; 32]],
    ) -> Result<Vec<Deposits>, ChainError> {
        let addresses = references.iter();
        let addresses = addresses.map(|reference| self.address.deposits(mint, reference));
        self.some(addresses.collect(), "record of deposits").await
    }

    /// The accounts at addresses, where there are any, in their order.
    async fn some<T: AccountDeserialize>(
        &self,
        addresses: Vec<Pubkey>,
        what: &'static str,
    ) -> Result<Vec<T>, ChainError> {
        let mut found = Vec::new();
        for some in addresses.chunks(ACCOUNTS_AT_ONCE) {
            let accounts = self.rpc.accounts(some).await?;
            for (address, account) in some.iter().zip(accounts) {
                found.extend(state_of(account, *address, what)?);
            }
        }
        Ok(found)
    }

    /// The places of rewards of a batch that nobody has claimed yet.
    pub(crate) async fn unclaimed(
        &self,
        number: u64,
        leaves: u32,
    ) -> Result<BTreeSet<u32>, ChainError> {
        let mut unclaimed = BTreeSet::new();
        for page in 0..leaves.div_ceil(PAGE_LEAVES) {
            let address = self.address.claims(number, page);
            let claims: Option<ClaimsPage> =
                read(self.rpc.as_ref(), address, "page of claims").await?;
            let first = page * PAGE_LEAVES;
            let places = first..leaves.min(first + PAGE_LEAVES);
            unclaimed.extend(places.filter(|place| {
                let place = (place % PAGE_LEAVES) as usize;
                let byte = claims
                    .as_ref()
                    .and_then(|claims| claims.claimed.get(place / 8));
                byte.is_none_or(|byte| byte & (1 << (place % 8)) == 0)
            }));
        }
        Ok(unclaimed)
    }

    /// Whether there are accounts at addresses, in their order.
    pub(crate) async fn exist(&self, addresses: &[Pubkey]) -> Result<Vec<bool>, ChainError> {
        let mut exist = Vec::new();
        for some in addresses.chunks(ACCOUNTS_AT_ONCE) {
            let found = self.rpc.accounts(some).await?;
            exist.extend(found.iter().map(Option::is_some));
        }
        Ok(exist)
    }

    /// The node.
    pub(crate) fn rpc(&self) -> &dyn Rpc {
        self.rpc.as_ref()
    }
}

/// Whether what the chain has is this batch.
pub(crate) fn check(batch: &Batch, settled: &state::Batch) -> Result<(), ChainError> {
    if settled.file_hash == batch.hash {
        return Ok(());
    }
    Err(ChainError::OtherBatch {
        number: batch.header.batch,
        here: hex::encode(batch.hash),
        there: hex::encode(settled.file_hash),
    })
}

/// The token program of a mint.
pub(crate) async fn token_program(rpc: &dyn Rpc, mint: Pubkey) -> Result<Pubkey, ChainError> {
    let found = rpc.accounts(&[mint]).await?.into_iter().next().flatten();
    found.map(|mint| mint.owner).ok_or(ChainError::NotThere {
        what: "mint",
        address: mint,
    })
}

async fn read<T: AccountDeserialize>(
    rpc: &dyn Rpc,
    address: Pubkey,
    what: &'static str,
) -> Result<Option<T>, ChainError> {
    let account = rpc.accounts(&[address]).await?.into_iter().next();
    state_of(account.flatten(), address, what)
}

fn state_of<T: AccountDeserialize>(
    account: Option<Account>,
    address: Pubkey,
    what: &'static str,
) -> Result<Option<T>, ChainError> {
    // Anyone can send lamports to an address before its account exists.
    let Some(account) = account.filter(|account| !account.data.is_empty()) else {
        return Ok(None);
    };
    let other = ChainError::Other { what, address };
    if account.owner != strm::ID {
        return Err(other);
    }
    match T::try_deserialize(&mut account.data.as_slice()) {
        Ok(state) => Ok(Some(state)),
        Err(_) => Err(other),
    }
}
