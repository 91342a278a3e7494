//! URLs whose secrets must not be seen.

use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use url::Url;

/// So long a part of a path is taken for a key, as providers of Solana nodes have them there.
const KEY_LENGTH: usize = 20;

/// A URL that may hold a secret: a password, something after the `?`, a long part of its path. It is
/// shown with `***` in their places.
#[derive(Clone, Deserialize, Eq, PartialEq)]
#[serde(transparent)]
pub struct SecretUrl(Url);

impl SecretUrl {
    /// The URL with its secrets, for the one place that needs it.
    pub fn expose(&self) -> &Url {
        &self.0
    }
}

impl From<Url> for SecretUrl {
    fn from(url: Url) -> Self {
        Self(url)
    }
}

impl std::str::FromStr for SecretUrl {
    type Err = url::ParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut masked = self.0.clone();
        if masked.password().is_some() {
            // Only a URL without a host refuses a password, and this one has one.
            let _ = masked.set_password(Some("***"));
        }
        if masked.query().is_some() {
            masked.set_query(Some("***"));
        }
        let parts = masked.path().split('/');
        let parts = parts.map(|part| if part.len() < KEY_LENGTH { part } else { "***" });
        let path = parts.collect::<Vec<_>>().join("/");
        masked.set_path(&path);
        masked.fmt(formatter)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::SecretUrl;

    #[test]
    fn a_password_is_not_shown() -> Result<(), url::ParseError> {
        let url: SecretUrl = "redis://user:hunter2@host:6379/1".parse()?;
        assert_eq!(url.to_string(), "redis://user:***@host:6379/1");
        assert_eq!(format!("{url:?}"), url.to_string());
        assert_eq!(url.expose().password(), Some("hunter2"));
        Ok(())
    }

    #[test]
    fn a_key_in_path_or_query_is_not_shown() -> Result<(), url::ParseError> {
        for (whole, shown) in [
            (
                "https://node.example/?api-key=abc",
                "https://node.example/?***",
            ),
            (
                "https://node.example/v2/0123456789abcdef0123/x",
                "https://node.example/v2/***/x",
            ),
            ("http://127.0.0.1:8899/", "http://127.0.0.1:8899/"),
            ("redis://h/0", "redis://h/0"),
        ] {
            let url: SecretUrl = whole.parse()?;
            assert_eq!(url.to_string(), shown);
            assert_eq!(url.expose().as_str(), whole);
        }
        Ok(())
    }
}
