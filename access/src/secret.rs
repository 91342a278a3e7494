//! The secret of an API key.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use sha2::Sha256;
use std::{fmt, str::FromStr};

/// The secret of an API key: 32 bytes, as text in base64 for URLs. `Debug` shows `***`.
#[derive(Clone, Eq, PartialEq)]
pub struct KeySecret([u8; 32]);

/// Text that is not the secret of a key. It does not say what it was.
#[derive(Debug, thiserror::Error)]
#[error(
    "this is not the secret of an API key: 43 characters that `streamsync keys create` printed"
)]
pub struct InvalidKeySecret;

impl KeySecret {
    /// A secret of these bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The secret as text, for the one who gets it.
    pub fn expose(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The `hmac-sha256` of a signature base.
    pub(crate) fn hmac(&self, base: &[u8]) -> [u8; 32] {
        self.mac(base).finalize().into_bytes().into()
    }

    /// Whether that is the `hmac-sha256` of a signature base, in a time that does not tell how much
    /// of it is right.
    pub(crate) fn made(&self, base: &[u8], signature: &[u8]) -> bool {
        self.mac(base).verify_slice(signature).is_ok()
    }

    fn mac(&self, base: &[u8]) -> Hmac<Sha256> {
        mac(&self.0, base)
    }
}

/// HMAC-SHA256 with a key of any length.
pub(crate) fn mac(key: &[u8], message: &[u8]) -> Hmac<Sha256> {
    // Keys of any length are taken, so this does not fail.
    #[allow(clippy::expect_used)]
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes any key");
    mac.update(message);
    mac
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

impl FromStr for KeySecret {
    type Err = InvalidKeySecret;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| InvalidKeySecret)?;
        bytes.try_into().map(Self).map_err(|_| InvalidKeySecret)
    }
}
