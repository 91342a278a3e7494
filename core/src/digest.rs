//! The digest by which answers from different workers are compared.
//!
//! SHA-256 over the columns (names and types) and the rows of an answer in a canonical encoding.
//! Answers that mean the same have the same digest, however they are cut into batches and however
//! Arrow represents them (`Utf8`, `Utf8View` and dictionaries are all text). Rows are a multiset
//! unless the query orders them: then their order counts.
//!
//! Doubles are compared by their first 24 significant bits (about seven decimal digits), because
//! summing in another order changes the last bits, and honest workers must not disagree over
//! that. All NaNs are equal, and so are the two zeros. Everything else is compared exactly.

mod encoding;

use arrow::{datatypes::Schema, error::ArrowError, record_batch::RecordBatch};
use encoding::ColumnEncoding;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::{fmt, str::FromStr};

/// The digest of an answer. Hexadecimal text.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// Text that is not a digest.
#[derive(Debug, thiserror::Error)]
#[error("`{0}` is not a digest: it is 64 hexadecimal digits")]
pub struct InvalidDigest(String);

/// Why an answer has no digest.
#[derive(Debug, thiserror::Error)]
pub enum DigestError {
    /// A column has a type without a canonical encoding.
    #[error("column `{column}` has type {data_type}, which cannot be compared; cast it to another")]
    UnsupportedType {
        /// The column's name.
        column: String,
        /// Its Arrow type.
        data_type: String,
    },
    /// A column could not be brought into a canonical form.
    #[error("column `{column}` could not be read")]
    Malformed {
        /// The column's name.
        column: String,
        /// Why.
        source: ArrowError,
    },
}

/// Computes a [`Digest`] batch by batch. Holds 32 bytes for each row of an unordered answer.
///
/// ```
/// use arrow::{array::{Int64Array, RecordBatch}, datatypes::Schema};
/// use std::sync::Arc;
/// use streamsync_core::DigestBuilder;
///
/// let digest = |values: Vec<i64>, ordered| {
///     let column: Arc<dyn arrow::array::Array> = Arc::new(Int64Array::from(values));
///     let batch = RecordBatch::try_from_iter([("slot", column)]).unwrap();
///     let mut digest = DigestBuilder::new(&batch.schema(), ordered).unwrap();
///     digest.update(&batch).unwrap();
///     digest.finish()
/// };
/// assert_eq!(digest(vec![1, 2], false), digest(vec![2, 1], false));
/// assert_ne!(digest(vec![1, 2], true), digest(vec![2, 1], true));
/// ```
pub struct DigestBuilder {
    header: Sha256,
    rows: Rows,
    count: u64,
    buffer: Vec<u8>,
}

enum Rows {
    Ordered(Sha256),
    Unordered(Vec<[u8; 32]>),
}

impl DigestBuilder {
    /// Begins the digest of an answer with these columns, ordered or not.
    pub fn new(schema: &Schema, ordered: bool) -> Result<Self, DigestError> {
        let mut buffer = Vec::new();
        encoding::encode_schema(schema, &mut buffer)?;
        let mut header = Sha256::new_with_prefix(b"streamsync answer digest v1");
        header.update(&buffer);
        header.update([u8::from(ordered)]);
        let rows = if ordered {
            Rows::Ordered(Sha256::new())
        } else {
            Rows::Unordered(Vec::new())
        };
        Ok(Self {
            header,
            rows,
            count: 0,
            buffer,
        })
    }

    /// Adds the rows of a batch. Its columns must be those that the digest began with.
    pub fn update(&mut self, batch: &RecordBatch) -> Result<(), DigestError> {
        let schema = batch.schema();
        let columns = schema
            .fields()
            .iter()
            .zip(batch.columns())
            .map(|(field, column)| ColumnEncoding::new(field.name(), column))
            .collect::<Result<Vec<_>, _>>()?;
        for row in 0..batch.num_rows() {
            self.buffer.clear();
            for column in &columns {
                column.encode(row, &mut self.buffer);
            }
            let hash: [u8; 32] = Sha256::digest(&self.buffer).into();
            match &mut self.rows {
                Rows::Ordered(all) => all.update(hash),
                Rows::Unordered(all) => all.push(hash),
            }
        }
        self.count += batch.num_rows() as u64;
        Ok(())
    }

    /// The number of rows so far.
    pub fn rows(&self) -> u64 {
        self.count
    }

    /// The digest of all rows.
    pub fn finish(self) -> Digest {
        let mut digest = self.header;
        digest.update(self.count.to_le_bytes());
        match self.rows {
            Rows::Ordered(rows) => digest.update(rows.finalize()),
            Rows::Unordered(mut rows) => {
                rows.sort_unstable();
                let mut all = Sha256::new();
                rows.iter().for_each(|row| all.update(row));
                digest.update(all.finalize());
            }
        }
        Digest(digest.finalize().into())
    }
}

impl Digest {
    /// The digest of a whole answer at once.
    pub fn of(
        schema: &Schema,
        batches: &[RecordBatch],
        ordered: bool,
    ) -> Result<Self, DigestError> {
        let mut digest = DigestBuilder::new(schema, ordered)?;
        batches.iter().try_for_each(|batch| digest.update(batch))?;
        Ok(digest.finish())
    }

    /// The 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidDigest(text.to_owned()))?;
        Ok(Self(bytes))
    }
}

impl TryFrom<String> for Digest {
    type Error = InvalidDigest;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests;
