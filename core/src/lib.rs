//! The vocabulary that every part of StreamSync shares: names and numbers of things, pinned
//! snapshots, queries and their parameters, the digest by which answers are compared, signatures,
//! loading of configuration and of key files.
//!
//! ```
//! use streamsync_core::{Identity, Outcome, QueryId, Refusal, SignedAnswer, clock::SystemClock};
//!
//! let worker = Identity::from_seed([7; 32]);
//! let query = QueryId::new(&SystemClock, [0; 10]);
//! let outcome = Outcome::Refused(Refusal::InvalidQuery);
//! let answer = SignedAnswer::new(&worker, query, "blocks@3".parse().unwrap(), outcome);
//! assert!(answer.is_genuine());
//! ```

mod answer;
mod api_key;
mod causes;
mod class;
mod client_id;
pub mod clock;
pub mod config;
mod constraint;
mod digest;
pub mod functions;
mod id;
mod identity;
mod level;
mod money;
mod operator;
mod param;
mod partition;
mod problem;
mod protocol;
mod query;
mod receipt;
mod rollup_state;
mod scalar;
mod secret;
mod secret_url;
mod settlement_file;
mod slot;
mod snapshot;
mod split;
mod table_name;

pub use answer::{ANSWER_HEADER, Outcome, QUEUED_HEADER, Refusal, SignedAnswer};
pub use api_key::{ApiKey, InvalidKeyId, KeyId, Limits, Salt, Scope};
pub use causes::with_causes;
pub use class::Class;
pub use client_id::{ClientId, InvalidClientId};
pub use constraint::{Constraint, ConstraintOp};
pub use digest::{Digest, DigestBuilder, DigestError, InvalidDigest};
pub use id::{InvalidWorkerId, QueryId, WorkerId};
pub use identity::{Identity, InvalidSignature, KeyFileError, Signature};
pub use level::{Level, UnknownLevel};
pub use money::Amount;
pub use operator::OperatorGrant;
pub use param::{InvalidParameter, Parameter};
pub use partition::{Partition, PartitionValues};
pub use problem::{PROBLEM_MEDIA_TYPE, Problem};
pub use protocol::{PROTOCOL_HEADER, Protocols};
pub use query::Query;
pub use receipt::{Promise, Receipt, SignedReceipt};
pub use rollup_state::{ROLLUP_DOMAIN, Recorded, RollupState};
pub use scalar::{NotAScalar, Scalar};
pub use secret::Secret;
pub use secret_url::SecretUrl;
pub use settlement_file::settlement_file;
pub use slot::Slot;
pub use snapshot::{InvalidSnapshot, Snapshot};
pub use split::Split;
pub use table_name::{InvalidTableName, TableName};
