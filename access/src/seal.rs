//! Sealing what only who has the master secrets may read.

use crate::{MasterSecrets, secret};
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use hmac::Mac;

const DOMAIN: &[u8] = b"streamsync seal v1";
/// What sealed bytes begin with; behind it are the name of the master secret, the nonce, and what was
/// sealed by AES-256 in Galois/Counter Mode.
const MAGIC: &[u8] = b"StreamSync sealed 1\n";
/// The length of the name of a master secret.
const NAME_LEN: usize = 16;

/// Why something was not sealed or not opened.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// There is no secret to seal with.
    #[error("there is no master secret to seal with")]
    NoMaster,
    /// It is nothing that was sealed.
    #[error("it is not sealed by a StreamSync")]
    NotSealed,
    /// It was sealed by others.
    #[error("it is sealed with the master secret {0}, which is not in the file of master secrets")]
    OtherMaster(String),
    /// It was changed, cut off, or is another thing than its name says.
    #[error("it is damaged, or was sealed under another name")]
    Damaged,
}

impl MasterSecrets {
    /// Seals bytes under a name, with the newest of the secrets. Under another name they do not open.
    pub fn seal(&self, name: &str, bytes: &[u8]) -> Result<Vec<u8>, SealError> {
        let master = self.newest().ok_or(SealError::NoMaster)?;
        let key = key(master)?;
        let mut sealed = bytes.to_vec();
        let nonce = key
            .seal_in_place_append_tag(Aad::from(name.as_bytes()), &mut sealed)
            .map_err(|_unspecified| SealError::Damaged)?;
        let name = Self::name(master);
        Ok([MAGIC, name.as_bytes(), nonce.as_ref(), &sealed].concat())
    }

    /// Opens what was sealed under a name.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Result<Vec<u8>, SealError> {
        let rest = sealed.strip_prefix(MAGIC).ok_or(SealError::NotSealed)?;
        let (master, rest) = rest.split_at_checked(NAME_LEN).ok_or(SealError::Damaged)?;
        let (nonce, rest) = rest.split_at_checked(NONCE_LEN).ok_or(SealError::Damaged)?;
        let named = String::from_utf8_lossy(master).into_owned();
        let master = self.named(&named).ok_or(SealError::OtherMaster(named))?;
        let damaged = |_unspecified| SealError::Damaged;
        let nonce = Nonce::try_assume_unique_for_key(nonce).map_err(damaged)?;
        let mut bytes = rest.to_vec();
        let opened = key(master)?
            .open_in_place(nonce, Aad::from(name.as_bytes()), &mut bytes)
            .map_err(damaged)?
            .len();
        bytes.truncate(opened);
        Ok(bytes)
    }
}

fn key(master: &[u8; 32]) -> Result<RandomizedNonceKey, SealError> {
    let key = secret::mac(master, DOMAIN).finalize().into_bytes();
    RandomizedNonceKey::new(&AES_256_GCM, &key).map_err(|_unspecified| SealError::Damaged)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_the_same_secret_and_name_open() {
        let masters = MasterSecrets::new([1; 32]);
        let sealed = masters.seal("backup 1", b"balance").unwrap();
        assert_eq!(masters.open("backup 1", &sealed).unwrap(), b"balance");
        assert_ne!(sealed, masters.seal("backup 1", b"balance").unwrap());
        assert!(!sealed.windows(7).any(|part| part == b"balance"));
        let fails = |masters: &MasterSecrets, name: &str, sealed: &[u8]| {
            masters.open(name, sealed).unwrap_err().to_string()
        };
        assert!(fails(&masters, "backup 2", &sealed).contains("another name"));
        assert!(fails(&masters, "backup 1", b"PAR1").contains("not sealed"));
        let others = MasterSecrets::new([2; 32]);
        assert!(fails(&others, "backup 1", &sealed).contains("not in the file"));
    }

    proptest! {
        #[test]
        fn what_is_changed_or_cut_off_does_not_open(
            bytes in prop::collection::vec(any::<u8>(), 0..100),
            place in any::<prop::sample::Index>(),
            bit in 0..8,
        ) {
            let masters = MasterSecrets::new([1; 32]);
            let sealed = masters.seal("a", &bytes).unwrap();
            prop_assert_eq!(&masters.open("a", &sealed).unwrap(), &bytes);
            let place = place.index(sealed.len());
            prop_assert!(masters.open("a", &sealed[..place]).is_err());
            let mut changed = sealed;
            changed[place] ^= 1u8 << bit;
            prop_assert!(masters.open("a", &changed).is_err());
        }
    }
}
