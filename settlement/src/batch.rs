//! A batch as it lies in the bucket.
//!
//! `settlements/batch-<number>.jsonl.zst`: zstd over lines of JSON, first the [`Header`], then the
//! signed receipts in the order of their places. An object of that name is written once; its SHA-256
//! hash is on the chain.

use crate::{
    RewardTree,
    aggregate::{Aggregate, AggregateError, Parts, aggregate},
    collect::Collected,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use solana_pubkey::Pubkey;
use std::collections::{BTreeMap, BTreeSet};
use streamsync_core::{Amount, SignedReceipt, WorkerId};
use strm::Settlement;

/// The format of the files.
const VERSION: u32 = 1;
/// As much as a file may unpack to, in bytes.
const MOST_BYTES: u64 = 4 << 30;

/// An amount for somebody.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reward {
    /// Who gets it.
    #[serde(with = "text")]
    pub recipient: Pubkey,
    /// How much.
    pub amount: Amount,
}

/// What a batch says of itself.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Header {
    /// The format: 1.
    pub version: u32,
    /// The network that settles it.
    #[serde(with = "text")]
    pub network: Pubkey,
    /// Its number, from one.
    pub batch: u64,
    /// The place of its first receipt among all receipts, from one.
    pub first_receipt: u64,
    /// The place of its last receipt.
    pub last_receipt: u64,
    /// Up to which number the receipts of each router are settled with it.
    pub routers: BTreeMap<WorkerId, u64>,
    /// Who gets the treasury's part.
    #[serde(with = "text")]
    pub treasury: Pubkey,
    /// Who gets the part of those who bring data.
    #[serde(with = "text")]
    pub data: Pubkey,
    /// Who gets the part of governance.
    #[serde(with = "text")]
    pub governance: Pubkey,
    /// Less than this is not paid, but carried over.
    pub dust: Amount,
    /// What was carried over from the batch before.
    pub carried_in: Vec<Reward>,
    /// What is carried over to the next.
    pub carried_out: Vec<Reward>,
    /// What the receipts charge.
    pub charged: Amount,
    /// What is paid.
    pub total: Amount,
    /// The root of the tree of rewards, in hexadecimal.
    pub root: String,
    /// What is paid to whom, by recipient.
    pub rewards: Vec<Reward>,
    /// The places of receipts that pay nobody: their routers have signed them, but what they charge
    /// or how they divide it is not what it should be.
    pub refused: BTreeSet<u64>,
}

/// A batch.
#[derive(Clone, Debug)]
pub struct Batch {
    /// What it says of itself.
    pub header: Header,
    /// Its receipts, as their routers wrote them.
    pub receipts: Vec<String>,
    /// The SHA-256 hash of its file.
    pub hash: [u8; 32],
    bytes: Bytes,
}

/// Why a file is no batch, or a batch could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BatchError {
    /// It could not be packed or unpacked.
    #[error("could not read the file of batch {number}: it is damaged")]
    Packed {
        /// The batch.
        number: u64,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// A line is not what it should be.
    #[error("could not read line {line} of the file of batch {number}")]
    Line {
        /// The batch.
        number: u64,
        /// The line, from one.
        line: usize,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// Something else than a batch of this network and number in a format that is known.
    #[error("the file of batch {number} is not one: {what}")]
    Other {
        /// The batch.
        number: u64,
        /// What is wrong.
        what: String,
    },
    /// The sums are too large.
    #[error(transparent)]
    Aggregate(#[from] AggregateError),
}

impl Batch {
    /// The batch after another, over receipts, of which there is one at least.
    pub(crate) fn new(
        network: Pubkey,
        before: Option<&Header>,
        collected: Collected,
        parts: &Parts,
        dust: Amount,
    ) -> Result<Self, BatchError> {
        let number = before.map_or(1, |before| before.batch + 1);
        let first_receipt = before.map_or(1, |before| before.last_receipt + 1);
        let places = (first_receipt..).zip(&collected.signed);
        let (good, refused): (Vec<_>, Vec<_>) =
            places.partition(|(_, signed)| signed.receipt.adds_up());
        let carried_in = before.map_or_else(Vec::new, |before| before.carried_out.clone());
        let Aggregate {
            rewards,
            carried,
            charged,
            total,
        } = aggregate(
            good.into_iter().map(|(_, signed)| signed),
            &carried_in,
            parts,
            dust,
        )?;
        let tree = RewardTree::new(&network, number, &rewards);
        let header = Header {
            version: VERSION,
            network,
            batch: number,
            first_receipt,
            last_receipt: first_receipt + collected.lines.len() as u64 - 1,
            routers: collected.routers,
            treasury: parts.treasury,
            data: parts.data,
            governance: parts.governance,
            dust,
            carried_in,
            carried_out: carried,
            charged,
            total,
            root: hex::encode(tree.root()),
            rewards,
            refused: refused.into_iter().map(|(place, _)| place).collect(),
        };
        Self::pack(header, collected.lines)
    }

    fn pack(header: Header, receipts: Vec<String>) -> Result<Self, BatchError> {
        let number = header.batch;
        let packed = |source| BatchError::Packed { number, source };
        let first = serde_json::to_string(&header).map_err(|source| BatchError::Line {
            number,
            line: 1,
            source,
        })?;
        let lines = std::iter::once(&first).chain(&receipts);
        let text = lines.fold(String::new(), |mut text, line| {
            text.push_str(line);
            text.push('\n');
            text
        });
        let bytes = Bytes::from(zstd::encode_all(text.as_bytes(), 3).map_err(packed)?);
        Ok(Self {
            hash: Sha256::digest(&bytes).into(),
            header,
            receipts,
            bytes,
        })
    }

    /// Reads the file of a batch.
    pub(crate) fn read(network: &Pubkey, number: u64, bytes: Bytes) -> Result<Self, BatchError> {
        use std::io::Read;
        let packed = |source| BatchError::Packed { number, source };
        let unpacked = zstd::Decoder::new(bytes.as_ref()).map_err(packed)?;
        let mut text = String::new();
        let read = unpacked.take(MOST_BYTES).read_to_string(&mut text);
        read.map_err(packed)?;
        let mut lines = text.lines();
        let header: Header =
            serde_json::from_str(lines.next().unwrap_or_default()).map_err(|source| {
                BatchError::Line {
                    number,
                    line: 1,
                    source,
                }
            })?;
        let receipts: Vec<String> = lines.map(str::to_owned).collect();
        let other = |what: String| Err(BatchError::Other { number, what });
        if header.version != VERSION {
            let version = header.version;
            return other(format!("its format is {version}, and this is {VERSION}"));
        }
        if (header.batch, &header.network) != (number, network) {
            return other(format!(
                "it is batch {} of {}",
                header.batch, header.network
            ));
        }
        let expected = header.last_receipt.checked_sub(header.first_receipt);
        if expected.map(|rest| rest + 1) != Some(receipts.len() as u64) {
            return other(format!("it has {} receipts", receipts.len()));
        }
        Ok(Self {
            hash: Sha256::digest(&bytes).into(),
            header,
            receipts,
            bytes,
        })
    }

    /// What is written to the bucket.
    pub(crate) fn bytes(&self) -> Bytes {
        self.bytes.clone()
    }

    /// The tree of its rewards.
    pub fn tree(&self) -> RewardTree {
        let Header {
            network,
            batch,
            rewards,
            ..
        } = &self.header;
        RewardTree::new(network, *batch, rewards)
    }

    /// What the program is told.
    pub fn settlement(&self) -> Settlement {
        let header = &self.header;
        Settlement {
            root: self.tree().root(),
            total: header.total.0,
            leaves: u32::try_from(header.rewards.len()).unwrap_or(u32::MAX),
            first_receipt: header.first_receipt,
            last_receipt: header.last_receipt,
            file_hash: self.hash,
        }
    }

    /// Its receipts with their places; `None` for a line that is no receipt that its router has
    /// signed.
    pub(crate) fn places(&self) -> impl Iterator<Item = (u64, &str, Option<SignedReceipt>)> {
        let lines = self.receipts.iter();
        (self.header.first_receipt..)
            .zip(lines)
            .map(|(place, line)| (place, line.as_str(), genuine(line)))
    }
}

/// Reads a receipt; `None` if it is none, or its router has not signed it.
pub(crate) fn genuine(line: &str) -> Option<SignedReceipt> {
    let signed: SignedReceipt = serde_json::from_str(line).ok()?;
    signed.is_genuine().then_some(signed)
}

/// Addresses as base58 text.
mod text {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use solana_pubkey::Pubkey;

    pub fn serialize<S: Serializer>(key: &Pubkey, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(key)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Pubkey, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(D::Error::custom)
    }
}
