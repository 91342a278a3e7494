//! Credit that clients have bought on chain: fields `chain:{mint}` of the family `credit:{client}`.

use crate::{Act, MOST_CREDIT, Registry, RegistryError, credit::script};
use redis::{AsyncCommands, Script};
use std::sync::LazyLock;
use streamsync_core::{Amount, ClientId};

static ADD: LazyLock<Script> = script!("credit_chain.lua");

/// What came of looking at a client's deposits on chain.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum ChainDeposit {
    /// There was nothing new.
    Known,
    /// So much was added.
    Added(Amount),
    /// The account would hold more than [`MOST_CREDIT`]; it is tried again.
    TooMuch(Amount),
    /// The chain has less than was added already: it is another chain, or another network.
    Less {
        /// What was added so far.
        known: Amount,
    },
}

impl Registry {
    /// Adds to a client's credit what was deposited on chain since the last time, if the sum of all
    /// its deposits of a mint is now `sum`. However often it is told, and by how many, each base
    /// unit is added once.
    pub async fn deposit_from_chain(
        &self,
        client: &ClientId,
        mint: &str,
        sum: Amount,
        act: &Act,
    ) -> Result<ChainDeposit, RegistryError> {
        let account = self.account(client);
        let field = format!("chain:{mint}");
        loop {
            let known: Option<u64> = self
                .redis()
                .hget(&account, &field)
                .await
                .map_err(self.failed("read what was deposited on chain"))?;
            let known = known.unwrap_or_default();
            let added = match sum.0.checked_sub(known) {
                None => {
                    return Ok(ChainDeposit::Less {
                        known: Amount(known),
                    });
                }
                Some(0) => return Ok(ChainDeposit::Known),
                Some(added) => Amount(added),
            };
            if added > MOST_CREDIT {
                return Ok(ChainDeposit::TooMuch(added));
            }
            let done: i64 = ADD
                .key(&account)
                .key(self.key("lessees"))
                .key(self.admin_key())
                .key(self.key("clients"))
                .arg(&field)
                .arg(known.to_string())
                .arg(sum.0.to_string())
                .arg(added.0)
                .arg(MOST_CREDIT.0)
                .arg(serde_json::to_string(act)?)
                .arg(client.as_str())
                .invoke_async(&mut self.redis())
                .await
                .map_err(self.failed("add what was deposited on chain"))?;
            match done {
                1 => return Ok(ChainDeposit::Added(added)),
                -1 => return Ok(ChainDeposit::TooMuch(added)),
                // Another has looked meanwhile.
                _ => {}
            }
        }
    }
}
