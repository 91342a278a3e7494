//! Who runs a worker.

use crate::{Identity, Signature, WorkerId};
use serde::{Deserialize, Serialize};

/// The proof that an operator runs a worker: the operator's signature under the worker's id.
///
/// Workers of one operator never confirm each other while others can. Without the signature a
/// worker could name a stranger as its operator, and so keep that stranger's workers out of races.
///
/// ```
/// use streamsync_core::{Identity, OperatorGrant};
///
/// let (operator, worker) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]).id());
/// let grant = OperatorGrant::new(&operator, worker);
/// assert!(grant.is_genuine(worker));
/// assert!(!grant.is_genuine(operator.id()));
/// ```
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperatorGrant {
    /// The operator's public key, which is its Solana address.
    pub operator: WorkerId,
    /// The operator's signature.
    pub signature: Signature,
}

const DOMAIN: &[u8] = b"streamsync operator v1";

impl OperatorGrant {
    /// Signs for a worker as its operator.
    pub fn new(operator: &Identity, worker: WorkerId) -> Self {
        Self {
            operator: operator.id(),
            signature: operator.sign(&signed_bytes(worker)),
        }
    }

    /// Whether the operator named in it did sign for the worker.
    pub fn is_genuine(&self, worker: WorkerId) -> bool {
        self.operator
            .verifies(&signed_bytes(worker), &self.signature)
    }
}

fn signed_bytes(worker: WorkerId) -> Vec<u8> {
    [DOMAIN, worker.as_bytes()].concat()
}
