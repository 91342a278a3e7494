//! Who asks and pays.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, sync::Arc};

/// The name of a client: who has credit, and keys to spend it. 1 to 64 lower-case letters, digits
/// and hyphens. Cheap to clone.
#[derive(Clone, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ClientId(Arc<str>);

/// Text that is not a client's name.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a client's name: 1 to 64 of a-z, 0-9 and -")]
pub struct InvalidClientId(String);

impl ClientId {
    const LONGEST: usize = 64;

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for ClientId {
    type Err = InvalidClientId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidClientId(text.chars().take(100).collect()))
        }
    }
}

impl TryFrom<String> for ClientId {
    type Error = InvalidClientId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ClientId> for String {
    fn from(client: ClientId) -> Self {
        client.0.as_ref().to_owned()
    }
}
