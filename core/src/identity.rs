//! Who signs: ed25519 key pairs in the file format of Solana's own tools.

use crate::WorkerId;
use ed25519_dalek::{Signer, SigningKey, VerifyingKey};
use serde::{Deserialize, Serialize};
use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
    str::FromStr,
};

/// An ed25519 key pair: a worker's identity, and its Solana wallet.
pub struct Identity(SigningKey);

/// An ed25519 signature. Base58 text, as Solana writes it.
#[derive(Clone, Copy, Eq, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Signature([u8; 64]);

/// Text that is not a signature.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a signature: it is the base58 text of 64 bytes")]
pub struct InvalidSignature(String);

/// Why a key file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// It could not be read.
    #[error("could not read the key file {path}", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It could not be written.
    #[error("could not write the key file {path}", path = .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is not a key pair.
    #[error(
        "{path} is not a key file: it must be a JSON array of 64 numbers, as solana-keygen \
         writes it, whose last 32 are the public key of the first 32",
        path = .path.display()
    )]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

impl Identity {
    /// The key pair of a 32-byte seed. The seed must come from a cryptographic random source.
    pub fn from_seed(seed: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&seed))
    }

    /// Reads a key file.
    pub fn read(path: &Path) -> Result<Self, KeyFileError> {
        let json = std::fs::read(path).map_err(|source| KeyFileError::Read {
            path: path.to_owned(),
            source,
        })?;
        let malformed = || KeyFileError::Malformed {
            path: path.to_owned(),
        };
        let bytes: Vec<u8> = serde_json::from_slice(&json).map_err(|_| malformed())?;
        let bytes: [u8; 64] = bytes.try_into().map_err(|_| malformed())?;
        SigningKey::from_keypair_bytes(&bytes)
            .map(Self)
            .map_err(|_| malformed())
    }

    /// Writes a new key file that only its owner can read; it never replaces a file.
    pub fn write_new(&self, path: &Path) -> Result<(), KeyFileError> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let json = format!("{:?}", self.0.to_keypair_bytes());
        options
            .open(path)
            .and_then(|mut file| {
                file.write_all(json.as_bytes())?;
                file.sync_all()
            })
            .map_err(|source| KeyFileError::Write {
                path: path.to_owned(),
                source,
            })
    }

    /// The public half.
    pub fn id(&self) -> WorkerId {
        WorkerId::new(self.0.verifying_key().to_bytes())
    }

    /// Signs a message.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Identity({})", self.id())
    }
}

impl WorkerId {
    /// Whether a signature of a message was made with this id's key. Weak keys are refused.
    pub fn verifies(&self, message: &[u8], signature: &Signature) -> bool {
        self.key().is_some_and(|key| {
            let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
            key.verify_strict(message, &signature).is_ok()
        })
    }

    /// The key, decompressed. That takes a quarter as long as to verify a signature, and the same
    /// keys come again and again, so each thread remembers those that it has seen.
    fn key(&self) -> Option<VerifyingKey> {
        KEYS.with_borrow_mut(|keys| {
            if let Some(known) = keys.get(self) {
                return Some(*known);
            }
            let key = VerifyingKey::from_bytes(self.as_bytes()).ok()?;
            if keys.len() >= REMEMBERED_KEYS {
                keys.clear();
            }
            keys.insert(*self, key);
            Some(key)
        })
    }
}

/// How many keys a thread remembers.
const REMEMBERED_KEYS: usize = 8_192;

thread_local! {
    static KEYS: RefCell<HashMap<WorkerId, VerifyingKey>> = RefCell::default();
}

impl fmt::Display for Signature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&bs58::encode(self.0).into_string())
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Signature {
    type Err = InvalidSignature;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 64];
        match bs58::decode(text).onto(&mut bytes) {
            Ok(64) => Ok(Self(bytes)),
            _ => Err(InvalidSignature(text.to_owned())),
        }
    }
}

impl TryFrom<String> for Signature {
    type Error = InvalidSignature;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Signature> for String {
    fn from(signature: Signature) -> Self {
        signature.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_keeps_the_identity_and_is_private_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("worker.json");
        let identity = Identity::from_seed([7; 32]);
        identity.write_new(&path).unwrap();
        assert_eq!(Identity::read(&path).unwrap().id(), identity.id());
        assert!(matches!(
            identity.write_new(&path),
            Err(KeyFileError::Write { .. })
        ));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        }
    }

    #[test]
    fn files_that_are_no_key_pair_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.json");
        let mismatched = format!("{:?}", [1u8; 64]);
        for content in ["", "[]", "[1,2,3]", "{}", &mismatched] {
            std::fs::write(&path, content).unwrap();
            assert!(matches!(
                Identity::read(&path),
                Err(KeyFileError::Malformed { .. })
            ));
        }
        let absent = folder.path().join("absent.json");
        assert!(matches!(
            Identity::read(&absent),
            Err(KeyFileError::Read { .. })
        ));
    }

    #[test]
    fn a_signature_holds_for_its_message_and_signer_only() {
        let (one, other) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]));
        let signature = one.sign(b"message");
        let parsed: Signature = signature.to_string().parse().unwrap();
        assert!(one.id().verifies(b"message", &parsed));
        assert!(!one.id().verifies(b"massage", &signature));
        assert!(!other.id().verifies(b"message", &signature));
    }
}
