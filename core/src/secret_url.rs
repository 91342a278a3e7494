//! URLs whose password must not be seen.

use serde::{Deserialize, Serialize, Serializer};
use std::fmt;
use url::Url;

/// A URL that may hold a password: it is shown with `***` in its place.
#[derive(Clone, Deserialize, Eq, PartialEq)]
#[serde(transparent)]
pub struct SecretUrl(Url);

impl SecretUrl {
    /// The URL with its password, for the one place that needs it.
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
        if self.0.password().is_none() {
            return self.0.fmt(formatter);
        }
        let mut masked = self.0.clone();
        // Only a URL without a host refuses a password, and this one has one.
        let _ = masked.set_password(Some("***"));
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
}
