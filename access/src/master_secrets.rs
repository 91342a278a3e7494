//! The secrets of the routers, from which those of API keys are derived.

use crate::{KeySecret, secret};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use hmac::Mac;
use sha2::{Digest, Sha256};
use std::{
    fmt,
    fs::OpenOptions,
    io::{self, Write},
    path::{Path, PathBuf},
};
use streamsync_core::{KeyId, Salt};

/// Master secrets: the first makes new secrets, the others are for keys from before it.
///
/// The secret of a key is the HMAC of its name and of a salt that is kept in Redis. Whoever reads
/// Redis cannot sign, and whoever steals this file cannot without Redis.
#[derive(Clone)]
pub struct MasterSecrets(Vec<[u8; 32]>);

/// Why there are no master secrets.
#[derive(Debug, thiserror::Error)]
pub enum MasterFileError {
    /// The file could not be read.
    #[error("could not read the master secrets in {path}; `streamsync keys init` makes them", path = .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file could not be written.
    #[error("could not write master secrets to {path}", path = .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Others may read it.
    #[error("{path} can be read by others than its owner; run: chmod 600 {path}", path = .0.display())]
    Open(PathBuf),
    /// A line is no secret.
    #[error("line {line} of {path} is not a master secret: 32 bytes in base64 for URLs", path = .path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Counted from one.
        line: usize,
    },
    /// There is none in it.
    #[error("there is no master secret in {path}", path = .0.display())]
    Empty(PathBuf),
}

const DOMAIN: &[u8] = b"streamsync api key v1";

impl MasterSecrets {
    /// One secret, of bytes from a cryptographic random source.
    pub fn new(secret: [u8; 32]) -> Self {
        Self(vec![secret])
    }

    /// Reads a file: a secret a line, newest first; lines that begin with `#` are comments.
    pub fn read(path: &Path) -> Result<Self, MasterFileError> {
        let failed = |source| MasterFileError::Read {
            path: path.to_owned(),
            source,
        };
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            let file = std::fs::metadata(path).map_err(failed)?;
            // A secret that Kubernetes mounts belongs to root, and its process reads it by its group.
            let others = if file.uid() == 0 { 0o037 } else { 0o077 };
            if file.mode() & others != 0 {
                return Err(MasterFileError::Open(path.to_owned()));
            }
        }
        let text = std::fs::read_to_string(path).map_err(failed)?;
        let mut secrets = Vec::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let bytes = URL_SAFE_NO_PAD.decode(line).ok();
            let Some(secret) = bytes.and_then(|bytes| bytes.try_into().ok()) else {
                return Err(MasterFileError::Malformed {
                    path: path.to_owned(),
                    line: index + 1,
                });
            };
            secrets.push(secret);
        }
        if secrets.is_empty() {
            return Err(MasterFileError::Empty(path.to_owned()));
        }
        Ok(Self(secrets))
    }

    /// Writes a new file that only its owner can read; it never replaces one.
    pub fn write_new(&self, path: &Path) -> Result<(), MasterFileError> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut text = "# Master secrets of StreamSync's routers, newest first.\n".to_owned();
        for secret in &self.0 {
            text.push_str(&URL_SAFE_NO_PAD.encode(secret));
            text.push('\n');
        }
        let written = options.open(path).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        });
        written.map_err(|source| MasterFileError::Write {
            path: path.to_owned(),
            source,
        })
    }

    pub(crate) fn newest(&self) -> Option<&[u8; 32]> {
        self.0.first()
    }

    pub(crate) fn named(&self, wanted: &str) -> Option<&[u8; 32]> {
        self.0.iter().find(|master| Self::name(master) == wanted)
    }

    /// By which a secret is known, and which tells nothing of it: 16 hexadecimal digits.
    pub(crate) fn name(master: &[u8; 32]) -> String {
        hex::encode(&Sha256::digest(master)[..8])
    }

    /// A salt for a new secret, from random bytes.
    pub fn salt(&self, random: [u8; 32]) -> Salt {
        Salt {
            salt: hex::encode(random),
            master: self.0.first().map(Self::name).unwrap_or_default(),
            until_ms: None,
        }
    }

    /// The secret of a key; `None` if its master secret is not here.
    pub fn secret(&self, key: &KeyId, salt: &Salt) -> Option<KeySecret> {
        let master = self.named(&salt.master)?;
        let message = [
            DOMAIN,
            &[0],
            key.as_str().as_bytes(),
            &[0],
            salt.salt.as_bytes(),
        ]
        .concat();
        let bytes = secret::mac(master, &message).finalize().into_bytes();
        Some(KeySecret::from_bytes(bytes.into()))
    }
}

impl fmt::Debug for MasterSecrets {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("***")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn secrets_need_both_the_master_and_the_salt() {
        let masters = MasterSecrets::new([1; 32]);
        let (key, salt) = (KeyId::new([2; 16]), masters.salt([3; 32]));
        let secret = masters.secret(&key, &salt).unwrap();
        assert_eq!(masters.secret(&key, &salt).unwrap(), secret);
        assert_ne!(masters.secret(&KeyId::new([4; 16]), &salt).unwrap(), secret);
        assert_ne!(
            masters.secret(&key, &masters.salt([4; 32])).unwrap(),
            secret
        );
        assert_eq!(MasterSecrets::new([5; 32]).secret(&key, &salt), None);
        let both = MasterSecrets(vec![[5; 32], [1; 32]]);
        assert_eq!(both.secret(&key, &salt).unwrap(), secret);
        assert_ne!(both.salt([3; 32]).master, salt.master);
        assert_eq!(format!("{masters:?} {secret:?}"), "*** ***");
    }

    #[test]
    fn a_file_is_private_and_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("master");
        let masters = MasterSecrets::new([7; 32]);
        masters.write_new(&path).unwrap();
        assert!(matches!(
            masters.write_new(&path),
            Err(MasterFileError::Write { .. })
        ));
        assert_eq!(MasterSecrets::read(&path).unwrap().0, masters.0);
        std::fs::write(&path, "# none\n").unwrap();
        assert!(matches!(
            MasterSecrets::read(&path),
            Err(MasterFileError::Empty(_))
        ));
        std::fs::write(&path, "short\n").unwrap();
        let error = MasterSecrets::read(&path).unwrap_err().to_string();
        assert!(
            error.contains("line 1") && !error.contains("short"),
            "{error}"
        );
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            use std::os::unix::fs::PermissionsExt;
            let is_roots = std::fs::metadata(&path).unwrap().uid() == 0;
            for (mode, refused) in [
                (0o644, true),
                (0o604, true),
                (0o660, true),
                (0o640, !is_roots),
            ] {
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
                let read = MasterSecrets::read(&path);
                let is_refused = matches!(read, Err(MasterFileError::Open(_)));
                assert_eq!(is_refused, refused, "{mode:o}");
            }
        }
    }
}
