//! Who pays for transactions, and what they do.

use crate::{
    Batch, Chain, ChainError, Rpc, Signature, Silent, Step, Steps, SubmitError,
    chain::{check, token_program},
    submit::{Sending, sign, submit},
};
use anchor_lang::solana_program::instruction::Instruction;
use solana_keypair::Keypair;
use solana_pubkey::Pubkey;
use solana_signer::Signer;
use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent;
use std::{collections::BTreeSet, sync::Arc};
use streamsync_core::{Amount, config::SettlementConfig};
use strm::{
    ProvenReward,
    client::NetworkAddress,
    state::{self, PAGE_LEAVES, Terms},
};

/// The most bytes of a transaction: what fits into one packet.
const TRANSACTION_BYTES: usize = 1_232;
/// The compute units of a settlement, and of a claim with the making of a token account; several
/// times what they took in tests.
const SETTLE_UNITS: u32 = 200_000;
const CLAIM_UNITS: u32 = 100_000;
/// The most claims in one transaction.
const MOST_CLAIMS: usize = 10;

/// The compute units of anything else.
const OTHER_UNITS: u32 = 200_000;

/// A key that signs and pays for transactions in a network.
pub struct Wallet {
    chain: Chain,
    payer: Keypair,
    sending: Sending,
    steps: Arc<dyn Steps>,
}

/// The public half of a key, which is its address.
pub fn public_key(keypair: &Keypair) -> Pubkey {
    keypair.pubkey()
}

/// What became of claims.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct ClaimReport {
    /// Rewards that were claimed.
    pub claimed: u64,
    /// What they are.
    pub amount: Amount,
    /// The transactions.
    pub transactions: u64,
    /// Rewards that could not be claimed.
    pub failed: u64,
}

impl Wallet {
    /// A key and the network that it acts in.
    pub fn new(chain: Chain, payer: Keypair, config: &SettlementConfig) -> Self {
        Self {
            chain,
            payer,
            sending: Sending::of(config),
            steps: Arc::new(Silent),
        }
    }

    /// Tells somebody of each step.
    pub(crate) fn told(&mut self, steps: Arc<dyn Steps>) {
        self.steps = steps;
    }

    /// Makes the network that the key is the first authority of, and returns its addresses. One that
    /// it has made for the mint before stays as it is.
    ///
    /// # Errors
    ///
    /// A node that does not answer, a mint that is not there, terms that the program refuses.
    pub async fn create_network(
        rpc: &dyn Rpc,
        payer: &Keypair,
        mint: Pubkey,
        terms: Terms,
        config: &SettlementConfig,
    ) -> Result<NetworkAddress, ChainError> {
        let token_program = token_program(rpc, mint).await?;
        let creator = payer.pubkey();
        let address = NetworkAddress::new(mint, token_program, &creator);
        let existing = rpc.accounts(&[address.network]).await?;
        if existing
            .into_iter()
            .flatten()
            .any(|account| account.owner == strm::ID)
        {
            return Ok(address);
        }
        let instruction = address.initialize(creator, terms);
        let sending = Sending::of(config);
        submit(rpc, payer, &[instruction], OTHER_UNITS, sending, &Silent)
            .await
            .map_err(|source| ChainError::Submit {
                action: format!("make a network for the mint {mint}"),
                source,
            })?;
        Ok(address)
    }

    /// Sends instructions in one transaction, and waits until it is finalized. The action says in an
    /// error what could not be done.
    ///
    /// # Errors
    ///
    /// A node that does not answer, and a transaction that fails or expires.
    pub async fn send(
        &self,
        action: &str,
        instructions: &[Instruction],
    ) -> Result<Signature, ChainError> {
        submit(
            self.chain.rpc(),
            &self.payer,
            instructions,
            OTHER_UNITS,
            self.sending,
            self.steps.as_ref(),
        )
        .await
        .map_err(|source| ChainError::Submit {
            action: action.to_owned(),
            source,
        })
    }

    /// An instruction that makes the key's own account for the network's tokens, if there is none.
    pub fn open_tokens(&self) -> Instruction {
        let NetworkAddress {
            mint,
            token_program,
            ..
        } = self.chain.address();
        let payer = self.payer.pubkey();
        create_associated_token_account_idempotent(&payer, &payer, &mint, &token_program)
    }

    /// The address of the key.
    pub fn payer(&self) -> Pubkey {
        self.payer.pubkey()
    }

    /// The network.
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Settles a batch, unless it is settled; either way it is finalized after that.
    pub(crate) async fn settle(&self, batch: &Batch) -> Result<state::Batch, ChainError> {
        let number = batch.header.batch;
        let settler = self.payer.pubkey();
        let instruction = self
            .chain
            .address()
            .settle_batch(settler, number, batch.settlement());
        let submitted = submit(
            self.chain.rpc(),
            &self.payer,
            &[instruction],
            SETTLE_UNITS,
            self.sending,
            self.steps.as_ref(),
        )
        .await;
        self.steps.before(Step::Check).await;
        // Whatever became of this transaction, another may have settled the batch.
        if let Some(settled) = self.chain.batch(number).await? {
            check(batch, &settled)?;
            return Ok(settled);
        }
        let source = match submitted {
            Err(source) => source,
            Ok(_) => {
                return Err(ChainError::NotThere {
                    what: "batch",
                    address: self.chain.address().batch(number),
                });
            }
        };
        Err(ChainError::Submit {
            action: format!("settle batch {number}"),
            source,
        })
    }

    /// Claims rewards of a batch for their recipients, as many in a transaction as fit. Token
    /// accounts that are missing are made. What fails is counted, and the rest goes on.
    pub(crate) async fn claim(
        &self,
        batch: &Batch,
        places: &BTreeSet<u32>,
    ) -> Result<ClaimReport, ChainError> {
        let tree = batch.tree();
        let rewards = &batch.header.rewards;
        let proven: Vec<(Pubkey, ProvenReward)> = places
            .iter()
            .filter_map(|place| tree.prove(rewards, *place))
            .collect();
        let missing = self.missing_accounts(&proven).await?;
        let mut report = ClaimReport::default();
        let mut rest = proven.as_slice();
        while !rest.is_empty() {
            let (count, instructions) = self.pack(batch.header.batch, rest, &missing);
            let (now, later) = rest.split_at(count);
            rest = later;
            self.steps.before(Step::Claim).await;
            let units = CLAIM_UNITS * u32::try_from(count).unwrap_or(u32::MAX);
            let submitted = submit(
                self.chain.rpc(),
                &self.payer,
                &instructions,
                units,
                self.sending,
                self.steps.as_ref(),
            )
            .await;
            match submitted {
                Ok(_) => {
                    report.claimed += count as u64;
                    report.amount.0 += now.iter().map(|(_, one)| one.amount).sum::<u64>();
                    report.transactions += 1;
                }
                Err(source @ SubmitError::Refused { .. }) => {
                    let first = now.first().map(|(to, _)| to.to_string());
                    tracing::warn!(
                        batch = batch.header.batch, recipients = count, first, cause = %source,
                        "could not claim rewards"
                    );
                    report.failed += count as u64;
                }
                Err(source) => {
                    let action = format!("claim rewards of batch {}", batch.header.batch);
                    return Err(ChainError::Submit { action, source });
                }
            }
        }
        Ok(report)
    }

    /// The recipients who have no token account yet.
    async fn missing_accounts(
        &self,
        proven: &[(Pubkey, ProvenReward)],
    ) -> Result<BTreeSet<Pubkey>, ChainError> {
        let address = self.chain.address();
        let tokens: Vec<_> = proven.iter().map(|(to, _)| address.tokens(to)).collect();
        let exist = self.chain.exist(&tokens).await?;
        let missing = proven.iter().zip(exist).filter(|(_, exists)| !exists);
        Ok(missing.map(|((to, _), _)| *to).collect())
    }

    /// As many of the first rewards as fit into one transaction, at least one, with what it does.
    fn pack(
        &self,
        number: u64,
        proven: &[(Pubkey, ProvenReward)],
        missing: &BTreeSet<Pubkey>,
    ) -> (usize, Vec<Instruction>) {
        let page = |at: usize| proven.get(at).map(|(_, one)| one.index / PAGE_LEAVES);
        let mut packed = (1, self.claiming(number, &proven[..1], missing));
        for count in 2..=proven.len().min(MOST_CLAIMS) {
            if page(count - 1) != page(0) {
                break;
            }
            let more = self.claiming(number, &proven[..count], missing);
            // What the limit and the price of compute units take comes on top.
            if size(&self.payer, &more) + 60 > TRANSACTION_BYTES {
                break;
            }
            packed = (count, more);
        }
        packed
    }

    fn claiming(
        &self,
        number: u64,
        proven: &[(Pubkey, ProvenReward)],
        missing: &BTreeSet<Pubkey>,
    ) -> Vec<Instruction> {
        let NetworkAddress {
            mint,
            token_program,
            ..
        } = self.chain.address();
        let payer = self.payer.pubkey();
        let recipients = proven.iter().map(|(to, _)| to);
        let mut instructions: Vec<_> = recipients
            .filter(|to| missing.contains(to))
            .map(|to| create_associated_token_account_idempotent(&payer, to, &mint, &token_program))
            .collect();
        let claim = self
            .chain
            .address()
            .claim_many(payer, number, proven.to_vec());
        instructions.push(claim);
        instructions
    }
}

/// The bytes of a transaction with these instructions.
fn size(payer: &Keypair, instructions: &[Instruction]) -> usize {
    let signed = sign(payer, instructions, Default::default());
    signed
        .ok()
        .and_then(|transaction| bincode::serialized_size(&transaction).ok())
        .and_then(|size| usize::try_from(size).ok())
        .unwrap_or(usize::MAX / 2)
}
