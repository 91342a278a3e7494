//! The signed answer: what a worker vouches for.

use crate::{Digest, Identity, QueryId, Signature, Snapshot, WorkerId};
use serde::{Deserialize, Serialize};

/// The header in which a worker sends its [`SignedAnswer`], as JSON.
pub const ANSWER_HEADER: &str = "streamsync-answer";

/// The header in which a worker says how long the query waited in its queue, in microseconds.
pub const QUEUED_HEADER: &str = "streamsync-queued-us";

/// What a query came to. Two workers agree when their outcomes are equal.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Rows, by digest.
    Rows {
        /// The digest of all rows.
        digest: Digest,
        /// Their number.
        rows: u64,
    },
    /// The query itself is at fault, on this snapshot, whoever runs it.
    Refused(Refusal),
}

/// Faults of a query that every honest worker finds.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Refusal {
    /// DuckDB's parser or binder refuses it: a wrong column, function, or type.
    InvalidQuery,
    /// It fails on the data: a failed cast, a division, an overflow.
    FailedOnData,
    /// Its answer has more rows or bytes than allowed.
    AnswerTooLarge,
}

/// An outcome with the signature of the worker that found it. It binds the query's id and the
/// snapshot, so it can be neither replayed for another query nor denied later.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct SignedAnswer {
    /// The query.
    pub query: QueryId,
    /// The worker.
    pub worker: WorkerId,
    /// What the worker read.
    pub snapshot: Snapshot,
    /// What it found.
    pub outcome: Outcome,
    /// The worker's signature over all of the above.
    pub signature: Signature,
}

impl SignedAnswer {
    /// Signs an outcome.
    pub fn new(identity: &Identity, query: QueryId, snapshot: Snapshot, outcome: Outcome) -> Self {
        let worker = identity.id();
        let signature = identity.sign(&signed_bytes(query, worker, &snapshot, outcome));
        Self {
            query,
            worker,
            snapshot,
            outcome,
            signature,
        }
    }

    /// Whether the worker named in it did sign it.
    pub fn is_genuine(&self) -> bool {
        let bytes = signed_bytes(self.query, self.worker, &self.snapshot, self.outcome);
        self.worker.verifies(&bytes, &self.signature)
    }
}

/// The bytes under the signature. Parts of fixed length come first and the snapshot last, so that
/// no two different answers have the same bytes.
fn signed_bytes(
    query: QueryId,
    worker: WorkerId,
    snapshot: &Snapshot,
    outcome: Outcome,
) -> Vec<u8> {
    let mut bytes = b"streamsync answer v1".to_vec();
    bytes.extend(query.as_bytes());
    bytes.extend(worker.as_bytes());
    match outcome {
        Outcome::Rows { digest, rows } => {
            bytes.push(0);
            bytes.extend(digest.as_bytes());
            bytes.extend(rows.to_le_bytes());
        }
        Outcome::Refused(refusal) => bytes.push(1 + refusal as u8),
    }
    bytes.extend(snapshot.to_string().as_bytes());
    bytes
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    fn answer() -> SignedAnswer {
        let query = QueryId::new(&ManualClock::at(1), [3; 10]);
        let digest = "07".repeat(32).parse().unwrap();
        let outcome = Outcome::Rows { digest, rows: 5 };
        let snapshot = "blocks@3".parse().unwrap();
        SignedAnswer::new(&Identity::from_seed([1; 32]), query, snapshot, outcome)
    }

    #[test]
    fn json_keeps_an_answer_genuine() {
        let json = serde_json::to_string(&answer()).unwrap();
        assert!(
            json.is_ascii() && !json.contains('\n'),
            "must fit in a header: {json}"
        );
        assert!(
            serde_json::from_str::<SignedAnswer>(&json)
                .unwrap()
                .is_genuine()
        );
    }

    #[test]
    fn whatever_is_changed_makes_it_false() {
        let Outcome::Rows { digest, .. } = answer().outcome else {
            unreachable!()
        };
        let other_query = QueryId::new(&ManualClock::at(2), [3; 10]);
        let other_worker = Identity::from_seed([2; 32]).id();
        for forged in [
            SignedAnswer {
                query: other_query,
                ..answer()
            },
            SignedAnswer {
                worker: other_worker,
                ..answer()
            },
            SignedAnswer {
                snapshot: "blocks@4".parse().unwrap(),
                ..answer()
            },
            SignedAnswer {
                outcome: Outcome::Rows { digest, rows: 6 },
                ..answer()
            },
            SignedAnswer {
                outcome: Outcome::Refused(Refusal::InvalidQuery),
                ..answer()
            },
        ] {
            assert!(!forged.is_genuine(), "{forged:?}");
        }
        assert!(answer().is_genuine());
    }
}
