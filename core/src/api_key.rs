//! API keys: what a client signs its requests with.

use crate::ClientId;
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt, str::FromStr, sync::Arc};

/// The public name of an API key, the `keyid` of its signatures: `key_` and 32 hexadecimal
/// digits. Cheap to clone.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct KeyId(Arc<str>);

/// Text that is not the name of a key.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not the name of an API key: `key_` and 32 hexadecimal digits")]
pub struct InvalidKeyId(String);

const PREFIX: &str = "key_";
const DIGITS: usize = 32;

impl KeyId {
    /// A name from sixteen random bytes.
    pub fn new(random: [u8; 16]) -> Self {
        Self(format!("{PREFIX}{}", hex::encode(random)).into())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for KeyId {
    type Err = InvalidKeyId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digits = text.strip_prefix(PREFIX).unwrap_or_default();
        let hexadecimal = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if digits.len() == DIGITS && digits.bytes().all(hexadecimal) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidKeyId(text.chars().take(100).collect()))
        }
    }
}

impl TryFrom<String> for KeyId {
    type Error = InvalidKeyId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(key: KeyId) -> Self {
        key.0.as_ref().to_owned()
    }
}

/// What a key may be used for. None includes another.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// To ask queries and quotes, and to read the client's own credit and receipts.
    Query,
    /// To look at the network: metrics, the administrative log, the receipts and credit of all.
    Operate,
    /// To make and revoke keys, and to add credit.
    Admin,
}

impl Scope {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Query, Self::Operate, Self::Admin]
            .into_iter()
            .find(|scope| scope.name() == text)
            .ok_or_else(|| format!("`{text}` is not a scope: query, operate or admin"))
    }
}

/// How much a key may be used, over all routers together. A missing limit is none.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Requests a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_minute: Option<u64>,
    /// Queries that are raced at the same time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent: Option<u64>,
    /// Rows of answers a minute. An answer is given whole; those after it wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_per_minute: Option<u64>,
    /// Bytes of answers, as sent, a minute.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_per_minute: Option<u64>,
}

/// An API key, as it is kept: nothing in it suffices to sign.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApiKey {
    /// Its name.
    pub id: KeyId,
    /// Who pays.
    pub client: ClientId,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// How much.
    #[serde(default)]
    pub limits: Limits,
    /// What its secrets are derived from, newest first: one, or two while it is being rotated.
    pub salts: Vec<Salt>,
    /// When it was made, in milliseconds since 1970.
    pub created_ms: u64,
    /// When it was revoked. It stays known, so that requests are told why they are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_ms: Option<u64>,
}

/// What a secret is derived from, together with a master secret that only routers have.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Salt {
    /// 32 random bytes, as hexadecimal digits.
    pub salt: String,
    /// Which master secret: the beginning of its digest.
    pub master: String,
    /// When the secret ends, in milliseconds since 1970, if it was replaced by another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        let key = KeyId::new([171; 16]);
        assert_eq!(key.as_str().parse::<KeyId>().unwrap(), key);
        for bad in ["", "key_", "key_ABABABABABABABABABABABABABABABAB", "key_\n"] {
            assert!(bad.parse::<KeyId>().is_err(), "{bad}");
        }
        for bad in ["", "Acme", "a b", "a\r\nb", &"a".repeat(65)] {
            assert!(bad.parse::<ClientId>().is_err(), "{bad}");
        }
        assert_eq!("acme-2".parse::<ClientId>().unwrap().as_str(), "acme-2");
    }
}
