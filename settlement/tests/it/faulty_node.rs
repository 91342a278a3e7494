//! A node over a bank, which can be made to fail like real ones.

use async_trait::async_trait;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use solana_program_test::{BanksClient, BanksClientError};
use solana_pubkey::Pubkey;
use solana_transaction::Transaction;
use std::sync::Mutex;
use streamsync_settlement::{Account, Hash, Rpc, RpcError, Signature, Status};

/// So many heights after it was signed, a transaction expires; the height grows with each question.
const LIFETIME: u64 = 40;

/// Stands in for a cluster with forks and finality, which cannot run in a process: what the bank has
/// processed counts as finalized. Transactions are executed by the real runtime.
pub struct Node {
    bank: BanksClient,
    state: Mutex<State>,
}

struct State {
    /// How often of a hundred times something goes wrong.
    trouble: u32,
    chance: ChaCha8Rng,
    height: u64,
    /// Transactions that come late, and the height at which they expire.
    late: Vec<(Transaction, u64)>,
}

impl Node {
    pub fn new(bank: BanksClient, trouble: u32, seed: u64) -> Self {
        Self {
            bank,
            state: Mutex::new(State {
                trouble,
                chance: ChaCha8Rng::seed_from_u64(seed),
                height: 0,
                late: Vec::new(),
            }),
        }
    }

    /// Whether something goes wrong now, and one of how many things.
    fn trouble(&self, kinds: u32) -> Option<u32> {
        let mut state = self.state.lock().unwrap();
        let trouble = state.trouble;
        (state.chance.random_range(0..100) < trouble).then(|| state.chance.random_range(0..kinds))
    }

    fn read(&self) -> Result<(), RpcError> {
        match self.trouble(1) {
            Some(_) => Err(failed("read")),
            None => Ok(()),
        }
    }

    /// Delivers one of the late transactions that have not expired.
    async fn deliver(&self) {
        let late = {
            let mut state = self.state.lock().unwrap();
            let height = state.height;
            state.late.retain(|(_, last)| *last >= height);
            state.late.pop()
        };
        if let Some((transaction, _)) = late {
            let _ = self.bank.process_transaction(transaction).await;
        }
    }

    async fn process(&self, transaction: &Transaction) -> Result<(), RpcError> {
        let processed = self.bank.process_transaction(transaction.clone()).await;
        processed.map_err(|error| match error {
            BanksClientError::TransactionError(error)
            | BanksClientError::SimulationError { err: error, .. } => RpcError::Refused {
                error,
                logs: Vec::new(),
            },
            _ => failed("process"),
        })
    }
}

fn failed(action: &'static str) -> RpcError {
    RpcError::Failed {
        action,
        url: "bank".to_owned(),
        source: "the node does not answer".into(),
    }
}

#[async_trait]
impl Rpc for Node {
    async fn accounts(&self, addresses: &[Pubkey]) -> Result<Vec<Option<Account>>, RpcError> {
        self.read()?;
        let mut found = Vec::new();
        for address in addresses {
            let account = self.bank.get_account(*address).await.unwrap();
            found.push(account.map(|account| Account {
                owner: account.owner,
                data: account.data,
            }));
        }
        Ok(found)
    }

    async fn blockhash(&self) -> Result<(Hash, u64), RpcError> {
        self.read()?;
        let hash = self.bank.get_latest_blockhash().await.unwrap();
        Ok((hash, self.state.lock().unwrap().height + LIFETIME))
    }

    async fn block_height(&self) -> Result<u64, RpcError> {
        self.deliver().await;
        let mut state = self.state.lock().unwrap();
        state.height += 1;
        Ok(state.height)
    }

    async fn send(&self, transaction: &Transaction) -> Result<(), RpcError> {
        match self.trouble(5) {
            None => self.process(transaction).await,
            // Lost; done without an answer; refused to begin with; late; twice.
            Some(0) => Ok(()),
            Some(1) => {
                let _ = self.process(transaction).await;
                Err(failed("send"))
            }
            Some(2) => Err(failed("send")),
            Some(3) => {
                let mut state = self.state.lock().unwrap();
                let last = state.height + LIFETIME / 2;
                state.late.push((transaction.clone(), last));
                Ok(())
            }
            Some(_) => {
                let _ = self.process(transaction).await;
                self.process(transaction).await
            }
        }
    }

    async fn status(&self, signature: &Signature) -> Result<Status, RpcError> {
        self.read()?;
        let status = self.bank.get_transaction_status(*signature).await;
        Ok(match status.unwrap() {
            None => Status::Unknown,
            Some(status) => match status.err {
                None => Status::Finalized,
                Some(error) => Status::Failed(error),
            },
        })
    }
}
