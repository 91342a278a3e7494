//! What a client is charged for an answer, and to whom it goes, signed by the router.

use crate::{
    Amount, Class, ClientId, Digest, Identity, KeyId, QueryId, Signature, Snapshot, Split, WorkerId,
};
use serde::{Deserialize, Serialize};

/// Whether an answer was promised to be free unless it is fast, and was.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Promise {
    /// Nothing was promised: the query is no lookup, or what it reads was not at hand.
    None,
    /// It was fast.
    Kept,
    /// It was not, and so it was free.
    Broken,
}

impl Promise {
    /// Its name, as in headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Kept => "kept",
            Self::Broken => "broken",
        }
    }
}

/// A receipt.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The router that gave the answer: the public key that the signature is checked with.
    pub router: WorkerId,
    /// Its place among all receipts of the router, from one and without gaps: none can be left out
    /// unseen.
    pub number: u64,
    /// When the answer was given, in milliseconds since 1970.
    pub at_ms: u64,
    /// The query.
    pub query: QueryId,
    /// Who pays.
    pub client: ClientId,
    /// The key that the request was signed with.
    pub key: KeyId,
    /// What kind of work it was.
    pub class: Class,
    /// The versions that were read.
    pub snapshot: Snapshot,
    /// The digest of the rows.
    pub digest: Digest,
    /// How many there are.
    pub rows: u64,
    /// What it cost, had no promise been broken.
    pub price: Amount,
    /// What the client pays.
    pub charged: Amount,
    /// The promise.
    pub promise: Promise,
    /// From the last byte of the request until the answer was ready to be sent, in microseconds.
    pub latency_us: u64,
    /// Who was first.
    pub winner: WorkerId,
    /// Who confirmed it.
    pub verifiers: Vec<WorkerId>,
    /// Who answered otherwise, or lied.
    pub dissenters: Vec<WorkerId>,
    /// To whom what is charged goes.
    pub split: Split,
}

/// A receipt with the router's signature. One line of JSON.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SignedReceipt {
    /// The receipt.
    pub receipt: Receipt,
    /// The signature under it.
    pub signature: Signature,
}

const DOMAIN: &[u8] = b"streamsync receipt v1";

impl Receipt {
    /// Signs the receipt. What is signed is a fixed text and the receipt as JSON without spaces, its
    /// fields in the order of this type.
    pub fn sign(self, router: &Identity) -> Result<SignedReceipt, serde_json::Error> {
        let signature = router.sign(&signed_bytes(&self)?);
        Ok(SignedReceipt {
            receipt: self,
            signature,
        })
    }

    /// Whether what is charged follows from the price and the promise, and the split from both.
    pub fn adds_up(&self) -> bool {
        let due = match self.promise {
            Promise::Broken => Amount::ZERO,
            Promise::None | Promise::Kept => self.price,
        };
        self.charged == due && self.split == Split::new(self.charged, self.verifiers.len())
    }
}

impl SignedReceipt {
    /// Whether the router that it names has signed it.
    pub fn is_genuine(&self) -> bool {
        signed_bytes(&self.receipt)
            .is_ok_and(|bytes| self.receipt.router.verifies(&bytes, &self.signature))
    }
}

fn signed_bytes(receipt: &Receipt) -> Result<Vec<u8>, serde_json::Error> {
    let mut bytes = DOMAIN.to_vec();
    serde_json::to_writer(&mut bytes, receipt)?;
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn receipt(router: &Identity) -> Receipt {
        let worker = |seed| Identity::from_seed([seed; 32]).id();
        Receipt {
            router: router.id(),
            number: 1,
            at_ms: 5,
            query: QueryId::new(&ManualClock::at(1), [3; 10]),
            client: "acme".parse().unwrap(),
            key: KeyId::new([1; 16]),
            class: Class::Lookup,
            snapshot: "blocks@3".parse().unwrap(),
            digest: "07".repeat(32).parse().unwrap(),
            rows: 2,
            price: Amount(10_000),
            charged: Amount(10_000),
            promise: Promise::Kept,
            latency_us: 4_100,
            winner: worker(2),
            verifiers: vec![worker(3), worker(4)],
            dissenters: Vec::new(),
            split: Split::new(Amount(10_000), 2),
        }
    }

    #[test]
    fn a_receipt_is_genuine_until_anything_is_changed() {
        let router = Identity::from_seed([9; 32]);
        let signed = receipt(&router).sign(&router).unwrap();
        let line = serde_json::to_string(&signed).unwrap();
        let read: SignedReceipt = serde_json::from_str(&line).unwrap();
        assert!(read.is_genuine() && read.receipt.adds_up());
        let mut json: serde_json::Value = serde_json::from_str(&line).unwrap();
        for (field, value) in [
            ("charged", serde_json::json!(0)),
            ("number", serde_json::json!(2)),
            ("client", serde_json::json!("other")),
            ("promise", serde_json::json!("broken")),
        ] {
            let kept = std::mem::replace(&mut json["receipt"][field], value);
            let forged: SignedReceipt = serde_json::from_value(json.clone()).unwrap();
            assert!(!forged.is_genuine(), "{field}");
            json["receipt"][field] = kept;
        }
    }

    #[test]
    fn a_receipt_that_does_not_add_up_is_noticed() {
        let router = Identity::from_seed([9; 32]);
        assert!(receipt(&router).adds_up());
        let mut generous = receipt(&router);
        generous.split.winner.0 += 1;
        assert!(!generous.adds_up());
        let mut broken = receipt(&router);
        broken.promise = Promise::Broken;
        assert!(!broken.adds_up());
        broken.charged = Amount::ZERO;
        broken.split = Split::new(Amount::ZERO, 2);
        assert!(broken.adds_up());
    }
}
