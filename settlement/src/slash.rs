//! Slashing: what proves that a worker lied becomes a file in the bucket, and its hash a slash on the
//! chain.
//!
//! An accusation is `slashing/<query>-<worker>.json`, written once: so there is one for each lie, and
//! the program takes each hash once. Only what a worker has signed is held against it; that a router
//! saw it misbehave costs reputation, not stake.

use crate::{ChainError, Pubkey, Signature, Wallet, follow::wallet as wallet_of};
use arrow::array::{AsArray, RecordBatch};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use spl_associated_token_account_interface::instruction::create_associated_token_account_idempotent;
use std::collections::BTreeMap;
use streamsync_core::{
    Amount, Constraint, ConstraintOp, OperatorGrant, Outcome, QueryId, Scalar, TableName, WorkerId,
};
use streamsync_lake::{Lake, ObjectError, OpenTableError, prune, tables};
use streamsync_registry::{Evidence, Offence, Registry, RegistryError};

/// The format of the files.
const VERSION: u32 = 1;
/// How many others have to have signed the answer that contradicts the accused.
const WITNESSES: usize = 2;

/// What a worker is accused of, with all that proves it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Accusation {
    /// The format: 1.
    pub version: u32,
    /// The accused.
    pub worker: WorkerId,
    /// Who runs it, and signed for that; without it the worker is its own operator.
    pub grant: Option<OperatorGrant>,
    /// The query, and every signed answer to it.
    pub evidence: Evidence,
}

/// Why somebody cannot be slashed.
#[derive(Debug, thiserror::Error)]
pub enum SlashError {
    /// There is no such evidence.
    #[error(
        "there is no evidence against {worker} on query {query}, neither in Redis nor in the lake's \
         table `evidence`"
    )]
    NoEvidence {
        /// The query.
        query: QueryId,
        /// The worker.
        worker: WorkerId,
    },
    /// It does not prove anything.
    #[error("the evidence against {worker} does not prove a lie: {why}")]
    NotProven {
        /// The worker.
        worker: WorkerId,
        /// What is missing.
        why: &'static str,
    },
    /// Nobody has accused it.
    #[error("nothing was proposed against {worker} on query {query}: `slash propose` comes first")]
    NotProposed {
        /// The query.
        query: QueryId,
        /// The worker.
        worker: WorkerId,
    },
    /// The file is not what was written.
    #[error("could not read the accusation {name}")]
    Damaged {
        /// The file.
        name: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// It cannot be written as JSON.
    #[error("could not write an accusation as JSON")]
    Encode(#[source] serde_json::Error),
    /// The key may not do it.
    #[error("the key {given} may not slash in this network: its slasher is {slasher}")]
    NotSlasher {
        /// The key.
        given: Pubkey,
        /// Who may.
        slasher: Pubkey,
    },
    /// It costs too much, or nothing.
    #[error("{amount} cannot be slashed: one event costs at most {most} of the stake of {stake}")]
    TooMuch {
        /// What was asked for.
        amount: Amount,
        /// The most.
        most: Amount,
        /// The stake.
        stake: Amount,
    },
    /// Nothing to take.
    #[error("the operator {0} has nothing at stake in this network")]
    NoStake(Pubkey),
    /// Redis does not answer.
    #[error(transparent)]
    Registry(#[from] Box<RegistryError>),
    /// The bucket failed.
    #[error(transparent)]
    Bucket(#[from] ObjectError),
    /// The lake failed.
    #[error("could not look for evidence in the lake")]
    Lake(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The chain failed.
    #[error(transparent)]
    Chain(#[from] Box<ChainError>),
}

impl From<RegistryError> for SlashError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}

impl From<ChainError> for SlashError {
    fn from(error: ChainError) -> Self {
        Self::Chain(Box::new(error))
    }
}

/// What came of a slash.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Slashed {
    /// It was taken now.
    Now {
        /// The transaction.
        signature: Signature,
        /// What was taken.
        amount: Amount,
    },
    /// It was taken before.
    Before,
}

fn file(query: QueryId, worker: WorkerId) -> String {
    format!("slashing/{query}-{worker}.json")
}

impl Accusation {
    /// An accusation, if the evidence proves it.
    ///
    /// # Errors
    ///
    /// [`SlashError::NotProven`].
    pub fn new(
        worker: WorkerId,
        grant: Option<OperatorGrant>,
        evidence: Evidence,
    ) -> Result<Self, SlashError> {
        let accusation = Self {
            version: VERSION,
            worker,
            grant,
            evidence,
        };
        match accusation.gap() {
            None => Ok(accusation),
            Some(why) => Err(SlashError::NotProven { worker, why }),
        }
    }

    /// What is missing for a proof.
    fn gap(&self) -> Option<&'static str> {
        let Self {
            worker,
            grant,
            evidence,
            ..
        } = self;
        if self.version != VERSION {
            return Some("it is in another format");
        }
        if let Some(grant) = grant
            && !grant.is_genuine(*worker)
        {
            return Some("the operator has not signed for the worker");
        }
        if evidence.accused.get(worker) != Some(&Offence::WrongAnswer) {
            return Some("it is not about an answer that the worker has signed");
        }
        let query = &evidence.query;
        let answers: BTreeMap<WorkerId, Outcome> = evidence
            .answers
            .iter()
            .filter(|answer| answer.query == query.id && answer.snapshot == query.snapshot)
            .filter(|answer| answer.is_genuine())
            .map(|answer| (answer.worker, answer.outcome))
            .collect();
        let Some(own) = answers.get(worker) else {
            return Some("the worker's signed answer is not in it");
        };
        let mut votes: Vec<(Outcome, usize)> = Vec::new();
        for outcome in answers.values() {
            match votes.iter_mut().find(|(other, _)| other == outcome) {
                Some((_, count)) => *count += 1,
                None => votes.push((*outcome, 1)),
            }
        }
        let with = votes.iter().find(|(outcome, _)| outcome == own);
        let with = with.map_or(0, |(_, count)| *count);
        let against = votes.iter().filter(|(outcome, _)| outcome != own);
        let against = against.map(|(_, count)| *count).max().unwrap_or_default();
        if against < WITNESSES {
            return Some("fewer than two others have signed one other answer");
        }
        (against <= with).then_some("as many have signed the same answer")
    }

    /// The wallet whose stake answers for the worker.
    pub fn operator(&self) -> Pubkey {
        wallet_of(
            self.grant
                .as_ref()
                .map_or(&self.worker, |grant| &grant.operator),
        )
    }
}

/// Accuses a worker of a lie: finds the evidence, checks that it proves it, and writes it down.
/// Returns what is written, which is what was written first, and its hash.
///
/// # Errors
///
/// No evidence, or none that proves anything; the bucket and the registry failing.
pub async fn propose(
    lake: &Lake,
    registry: &Registry,
    query: QueryId,
    worker: WorkerId,
    grant: Option<OperatorGrant>,
) -> Result<(Accusation, [u8; 32]), SlashError> {
    let evidence = match registry.evidence_on(query).await? {
        Some(evidence) => Some(evidence),
        None => archived(lake, query, worker).await?,
    };
    let evidence = evidence.ok_or(SlashError::NoEvidence { query, worker })?;
    let accusation = Accusation::new(worker, grant, evidence)?;
    let json = serde_json::to_vec(&accusation).map_err(SlashError::Encode)?;
    lake.put_object_once(&file(query, worker), Bytes::from(json))
        .await?;
    read(lake, query, worker).await
}

/// Takes what an accused worker's operator has at stake, and keeps the hash of the accusation on the
/// chain. What was taken for it before is not taken again.
///
/// # Errors
///
/// An accusation that is not there or proves nothing, a key that may not, an amount beyond what one
/// event may cost; the bucket and the chain failing.
pub async fn execute(
    wallet: &Wallet,
    lake: &Lake,
    query: QueryId,
    worker: WorkerId,
    amount: Amount,
) -> Result<Slashed, SlashError> {
    let (accusation, hash) = read(lake, query, worker).await?;
    let chain = wallet.chain();
    let (address, terms) = (chain.address(), chain.network().await?.terms);
    let given = wallet.payer();
    if terms.slasher != given {
        let slasher = terms.slasher;
        return Err(SlashError::NotSlasher { given, slasher });
    }
    let owner = accusation.operator();
    let evidence = address.evidence(&owner, &hash);
    if chain.exist(&[evidence]).await? == [true] {
        return Ok(Slashed::Before);
    }
    let operator = chain.operators(&[owner]).await?.into_iter().next();
    let operator = operator.ok_or(SlashError::NoStake(owner))?;
    let stake = u128::from(operator.stake) + u128::from(operator.unstaking);
    let most = stake * u128::from(terms.max_slash) / 10_000;
    if amount == Amount::ZERO || u128::from(amount.0) > most {
        let whole = |sum: u128| Amount(u64::try_from(sum).unwrap_or(u64::MAX));
        return Err(SlashError::TooMuch {
            amount,
            most: whole(most),
            stake: whole(stake),
        });
    }
    let (mint, program) = (&address.mint, &address.token_program);
    let instructions = [
        create_associated_token_account_idempotent(&given, &terms.treasury, mint, program),
        address.slash(given, &owner, &terms.treasury, amount.0, hash),
    ];
    let action = format!("slash the operator {owner}");
    let signature = wallet.send(&action, &instructions).await?;
    Ok(Slashed::Now { signature, amount })
}

async fn read(
    lake: &Lake,
    query: QueryId,
    worker: WorkerId,
) -> Result<(Accusation, [u8; 32]), SlashError> {
    let name = file(query, worker);
    let bytes = lake.get_object(&name).await?;
    let bytes = bytes.ok_or(SlashError::NotProposed { query, worker })?;
    let accusation: Accusation =
        serde_json::from_slice(&bytes).map_err(|source| SlashError::Damaged { name, source })?;
    let same = accusation.worker == worker && accusation.evidence.query.id == query;
    let gap = accusation.gap();
    if let Some(why) = gap.or((!same).then_some("it is about another query or worker")) {
        return Err(SlashError::NotProven { worker, why });
    }
    Ok((accusation, Sha256::digest(&bytes).into()))
}

/// Evidence in the lake.
async fn archived(
    lake: &Lake,
    query: QueryId,
    worker: WorkerId,
) -> Result<Option<Evidence>, SlashError> {
    let (Some(definition), Ok(name)) = (tables::definition("evidence"), TableName::new("evidence"))
    else {
        return Ok(None);
    };
    let table = match lake.table(&name).await {
        Ok(table) => table,
        Err(OpenTableError::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(SlashError::Lake(error.into())),
    };
    let wanted = [Constraint {
        column: "worker".to_owned(),
        op: ConstraintOp::Eq(Scalar::Text(worker.to_string())),
    }];
    let files = table.files().await;
    let files = files.map_err(|error| SlashError::Lake(error.into()))?;
    for file in prune(definition, &files, &wanted) {
        let rows = table.read(file).await;
        for rows in rows.map_err(|error| SlashError::Lake(error.into()))? {
            if let Some(evidence) = on_query(&rows, query) {
                return Ok(Some(evidence));
            }
        }
    }
    Ok(None)
}

fn on_query(rows: &RecordBatch, query: QueryId) -> Option<Evidence> {
    let queries = rows.column_by_name("query_id")?.as_string_opt::<i32>()?;
    let evidence = rows.column_by_name("evidence")?.as_string_opt::<i32>()?;
    let query = query.to_string();
    let row = (0..rows.num_rows()).find(|row| queries.value(*row) == query)?;
    serde_json::from_str(evidence.value(row)).ok()
}
