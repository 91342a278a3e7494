//! Getting a transaction into a finalized block.

use crate::{
    Rpc, RpcError, Status, Step, Steps,
    rpc::{Hash, Signature},
};
use anchor_lang::solana_program::instruction::Instruction;
use solana_compute_budget_interface::ComputeBudgetInstruction;
use solana_keypair::Keypair;
use solana_signer::{Signer, SignerError};
use solana_transaction::Transaction;
use solana_transaction_error::TransactionError;
use std::time::Duration;
use streamsync_core::config::SettlementConfig;

/// Why a transaction is in no finalized block, or in one and failed.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// It could not be signed.
    #[error("could not sign a transaction")]
    Sign(#[from] SignerError),
    /// It has failed. Nothing of it was done.
    #[error("the transaction has failed: {error}{}", said(logs))]
    Refused {
        /// How.
        error: TransactionError,
        /// What the programs have logged, the end of it.
        logs: Vec<String>,
    },
    /// It expired as often as it was signed anew. None of those can land any more.
    #[error(
        "the transaction expired {tries} times before it was in a block: the cluster is busy; raise \
         settlement.priority_fee_micro_lamports"
    )]
    Expired {
        /// How often it was signed.
        tries: u32,
    },
    /// The node could not be asked.
    #[error(transparent)]
    Rpc(RpcError),
}

fn said(logs: &[String]) -> String {
    match logs {
        [] => String::new(),
        logs => format!("; the program says: {}", logs.join(" / ")),
    }
}

/// How transactions are sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sending {
    /// The fee beyond the base fee, in millionths of a lamport for each compute unit.
    priority_fee: u64,
    /// How often the node is asked what became of it.
    poll: Duration,
    /// How often it is signed with a newer blockhash when it expires.
    tries: u32,
}

impl Sending {
    pub(crate) fn of(config: &SettlementConfig) -> Self {
        Self {
            priority_fee: config.priority_fee_micro_lamports,
            poll: config.poll(),
            tries: config.tries,
        }
    }
}

/// After so many questions what became of it, a transaction is sent once more.
const RESEND_AFTER: u32 = 8;

/// Signs instructions, sends them, and waits until they are in a finalized block. When they expire
/// before, they are signed anew: only then can the transaction before not land any more.
pub(crate) async fn submit(
    rpc: &dyn Rpc,
    payer: &Keypair,
    instructions: &[Instruction],
    compute_units: u32,
    sending: Sending,
    steps: &dyn Steps,
) -> Result<Signature, SubmitError> {
    let mut all = vec![
        ComputeBudgetInstruction::set_compute_unit_limit(compute_units),
        ComputeBudgetInstruction::set_compute_unit_price(sending.priority_fee),
    ];
    all.extend_from_slice(instructions);
    for _ in 0..sending.tries.max(1) {
        steps.before(Step::Sign).await;
        let (blockhash, last_height) = rpc.blockhash().await.map_err(SubmitError::Rpc)?;
        let transaction = sign(payer, &all, blockhash)?;
        let signature = transaction.signatures.first().copied().unwrap_or_default();
        if follow(rpc, &transaction, &signature, last_height, sending, steps).await? {
            return Ok(signature);
        }
    }
    Err(SubmitError::Expired {
        tries: sending.tries.max(1),
    })
}

/// Signs instructions.
pub(crate) fn sign(
    payer: &Keypair,
    instructions: &[Instruction],
    blockhash: Hash,
) -> Result<Transaction, SignerError> {
    let mut transaction = Transaction::new_with_payer(instructions, Some(&payer.pubkey()));
    transaction.try_sign(&[payer], blockhash)?;
    Ok(transaction)
}

/// Sends a transaction until it is in a finalized block; false if it expired.
async fn follow(
    rpc: &dyn Rpc,
    transaction: &Transaction,
    signature: &Signature,
    last_height: u64,
    sending: Sending,
    steps: &dyn Steps,
) -> Result<bool, SubmitError> {
    let mut asked = 0;
    loop {
        if asked % RESEND_AFTER == 0 {
            steps.before(Step::Send).await;
            match rpc.send(transaction).await {
                Ok(()) => {}
                // One before may have landed: then this is what a second one is told.
                Err(RpcError::Refused { error, logs }) => {
                    match rpc.status(signature).await.map_err(SubmitError::Rpc)? {
                        Status::Unknown if error != TransactionError::BlockhashNotFound => {
                            return Err(SubmitError::Refused { error, logs });
                        }
                        _ => {}
                    }
                }
                Err(error) => {
                    tracing::warn!(cause = %error, "could not tell whether a transaction was sent");
                }
            }
        }
        asked += 1;
        steps.before(Step::AskStatus).await;
        // The height first: what is unknown after it was passed can never land.
        let height = rpc.block_height().await;
        match rpc.status(signature).await {
            Ok(Status::Finalized) => return Ok(true),
            Ok(Status::Failed(error)) => {
                let logs = Vec::new();
                return Err(SubmitError::Refused { error, logs });
            }
            Ok(Status::Unknown) if height.is_ok_and(|height| height > last_height) => {
                return Ok(false);
            }
            Ok(Status::Unknown | Status::Pending) => {}
            // It is not known whether it has landed, and so it has to be asked again.
            Err(error) => tracing::warn!(cause = %error, "could not ask for a transaction"),
        }
        tokio::time::sleep(sending.poll).await;
    }
}
