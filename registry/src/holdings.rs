//! Which partitions a worker has at hand, said in few bytes.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use streamsync_core::Partition;

/// The partitions that a worker has at hand, each by the first four bytes of the SHA-256 of its
/// name: at most [`Holdings::MOST`], so that a heartbeat stays small. In JSON they are the base64
/// text of these bytes.
///
/// ```
/// use streamsync_core::Partition;
/// use streamsync_registry::Holdings;
///
/// let partition = Partition { table: "blocks".parse().unwrap(), values: Default::default() };
/// let holdings: Holdings = [&partition].into_iter().collect();
/// assert!(holdings.has(&partition));
/// ```
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Holdings(Vec<u32>);

/// Text that is not the base64 of whole numbers.
#[derive(Debug, thiserror::Error)]
#[error(
    "holdings are the base64 text of four bytes a partition, of at most {} partitions",
    Holdings::MOST
)]
pub struct InvalidHoldings;

impl Holdings {
    /// The most partitions that are named.
    pub const MOST: usize = 256;

    /// Whether the worker says that it has a partition.
    pub fn has(&self, partition: &Partition) -> bool {
        self.has_fingerprint(Self::fingerprint(partition))
    }

    /// Whether the worker says that it has the partition of a fingerprint.
    pub fn has_fingerprint(&self, fingerprint: u32) -> bool {
        self.0.binary_search(&fingerprint).is_ok()
    }

    /// What stands for a partition. One in four thousand million is taken for another.
    pub fn fingerprint(partition: &Partition) -> u32 {
        let hash = Sha256::digest(partition.to_string());
        u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The first [`Holdings::MOST`] of them, so the most important have to come first.
impl<'a> FromIterator<&'a Partition> for Holdings {
    fn from_iter<I: IntoIterator<Item = &'a Partition>>(partitions: I) -> Self {
        let partitions = partitions.into_iter().take(Self::MOST);
        let mut fingerprints: Vec<u32> = partitions.map(Self::fingerprint).collect();
        fingerprints.sort_unstable();
        fingerprints.dedup();
        Self(fingerprints)
    }
}

impl From<Holdings> for String {
    fn from(holdings: Holdings) -> Self {
        let bytes: Vec<u8> = holdings
            .0
            .iter()
            .flat_map(|one| one.to_be_bytes())
            .collect();
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }
}

impl TryFrom<String> for Holdings {
    type Error = InvalidHoldings;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let bytes = BASE64_URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| InvalidHoldings)?;
        let (numbers, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() || numbers.len() > Self::MOST {
            return Err(InvalidHoldings);
        }
        let mut fingerprints: Vec<u32> =
            numbers.iter().map(|one| u32::from_be_bytes(*one)).collect();
        fingerprints.sort_unstable();
        Ok(Self(fingerprints))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn partition(bucket: usize) -> Partition {
        Partition {
            table: "signatures".parse().unwrap(),
            values: [("bucket".to_owned(), Some(bucket.to_string()))].into(),
        }
    }

    #[test]
    fn json_keeps_them_and_their_number_is_bounded() {
        let partitions: Vec<_> = (0..300).map(partition).collect();
        let holdings: Holdings = partitions.iter().collect();
        let json = serde_json::to_string(&holdings).unwrap();
        assert!(json.len() < 1_400, "{}", json.len());
        let read: Holdings = serde_json::from_str(&json).unwrap();
        assert_eq!(read, holdings);
        assert_eq!(read.len(), Holdings::MOST);
        assert!(read.has(&partition(0)) && !read.has(&partition(299)));
        for wrong in ["\"AAA\"", "\"%\"", &format!("{:?}", "A".repeat(4_000))] {
            assert!(serde_json::from_str::<Holdings>(wrong).is_err(), "{wrong}");
        }
    }
}
