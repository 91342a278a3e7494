//! How workers are paid.

use crate::{Amount, SecretUrl, WorkerId};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

/// The settlement, section `[settlement]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct SettlementConfig {
    /// The Solana node, `http://…` or `https://…`; without one, a node on this machine.
    pub rpc_url: Option<SecretUrl>,
    /// The address of the network's account on the chain.
    pub network: Option<String>,
    /// The key file of the settler, which pays for transactions.
    pub keypair: Option<PathBuf>,
    /// The routers whose receipts are settled, by their public keys.
    pub routers: BTreeSet<WorkerId>,
    /// Mints besides STRM whose deposits become credit, by their addresses; the network's authority
    /// allows them first.
    pub deposit_mints: BTreeSet<String>,
    /// How often stakes and deposits are read from the chain, in seconds.
    pub follow_every_s: u64,
    /// How often receipts are settled, in seconds; as the network's terms say by default.
    pub every_s: Option<u64>,
    /// Rewards of less than this are not paid, but carried over to the next batch, in base units.
    pub dust: Amount,
    /// The most receipts in one batch.
    pub most_receipts: usize,
    /// Whether rewards are claimed for their recipients.
    pub claim: bool,
    /// In how many of the last batches unclaimed rewards are looked for, and how many are published
    /// again after Redis has lost them.
    pub claim_batches: u64,
    /// How long settled receipts stay in Redis, where clients look them up, in seconds.
    pub keep_s: u64,
    /// What is paid beyond the base fee, in millionths of a lamport for each compute unit.
    pub priority_fee_micro_lamports: u64,
    /// How long one request to the Solana node may take, in milliseconds.
    pub rpc_timeout_ms: u64,
    /// How often the node is asked whether a transaction is finalized, in milliseconds.
    pub poll_ms: u64,
    /// How often an expired transaction is signed anew before it is given up until the next time.
    pub tries: u32,
    /// Where metrics are served; nowhere by default.
    pub metrics_listen: Option<SocketAddr>,
    /// How long a settlement keeps others from settling when it is killed, in seconds.
    pub lease_s: u64,
}

impl Default for SettlementConfig {
    fn default() -> Self {
        Self {
            rpc_url: None,
            network: None,
            keypair: None,
            routers: BTreeSet::new(),
            deposit_mints: BTreeSet::new(),
            follow_every_s: 15,
            every_s: None,
            dust: Amount(10_000_000),
            most_receipts: 50_000,
            claim: true,
            claim_batches: 288,
            keep_s: 86_400,
            priority_fee_micro_lamports: 10_000,
            rpc_timeout_ms: 10_000,
            poll_ms: 1_000,
            tries: 5,
            metrics_listen: None,
            lease_s: 120,
        }
    }
}

impl SettlementConfig {
    /// How often the node is asked.
    pub fn poll(&self) -> Duration {
        Duration::from_millis(self.poll_ms)
    }

    pub(super) fn faults(&self, faults: &mut Vec<String>) {
        for (name, value) in [
            ("follow_every_s", self.follow_every_s),
            ("every_s", self.every_s.unwrap_or(1)),
            ("most_receipts", self.most_receipts as u64),
            ("poll_ms", self.poll_ms),
            ("rpc_timeout_ms", self.rpc_timeout_ms),
            ("tries", u64::from(self.tries)),
            ("lease_s", self.lease_s),
        ] {
            if value == 0 {
                faults.push(format!("settlement.{name} is 0; it must be at least 1"));
            }
        }
        // The file of a batch is put into the bucket in one piece.
        if self.most_receipts > 500_000 {
            faults.push(format!(
                "settlement.most_receipts is {}; it must be at most 500000",
                self.most_receipts
            ));
        }
    }
}
