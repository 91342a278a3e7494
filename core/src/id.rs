//! Identifiers.

use crate::clock::Clock;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use uuid::Uuid;

/// The name of one query: a UUID of version 7, so that ids sort by time.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QueryId(Uuid);

impl QueryId {
    /// A new id, from a clock and ten random bytes.
    pub fn new(clock: &dyn Clock, random: [u8; 10]) -> Self {
        let id = uuid::Builder::from_unix_timestamp_millis(clock.unix_millis(), &random);
        Self(id.into_uuid())
    }

    /// The sixteen bytes of the id.
    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for QueryId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for QueryId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// The name of a worker: its ed25519 public key, which is also its Solana address. Base58 text.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WorkerId([u8; 32]);

/// Text that is not a worker id.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a worker id: it is the base58 text of a 32-byte public key")]
pub struct InvalidWorkerId(String);

impl WorkerId {
    /// The id of a public key.
    pub const fn new(public_key: [u8; 32]) -> Self {
        Self(public_key)
    }

    /// The public key.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for WorkerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&bs58::encode(self.0).into_string())
    }
}

impl fmt::Debug for WorkerId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for WorkerId {
    type Err = InvalidWorkerId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut key = [0; 32];
        match bs58::decode(text).onto(&mut key) {
            Ok(32) => Ok(Self(key)),
            _ => Err(InvalidWorkerId(text.to_owned())),
        }
    }
}

impl TryFrom<String> for WorkerId {
    type Error = InvalidWorkerId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<WorkerId> for String {
    fn from(id: WorkerId) -> Self {
        id.to_string()
    }
}
