//! Unpacking what may be compressed.

use super::DecodeError;
use std::{borrow::Cow, io::Read};

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// The content, unpacked if it is gzip or zstd, and never more than `limit` bytes of it.
pub(super) fn unpack(bytes: &[u8], limit: u64) -> Result<Cow<'_, [u8]>, DecodeError> {
    let unpacked = if bytes.starts_with(GZIP) {
        read("gzip", flate2::read::MultiGzDecoder::new(bytes), limit)?
    } else if bytes.starts_with(ZSTD) {
        let decoder = zstd::Decoder::with_buffer(bytes).map_err(|source| {
            let format = "zstd";
            DecodeError::Compression { format, source }
        })?;
        read("zstd", decoder, limit)?
    } else {
        return Ok(Cow::Borrowed(bytes));
    };
    Ok(Cow::Owned(unpacked))
}

fn read(format: &'static str, packed: impl Read, limit: u64) -> Result<Vec<u8>, DecodeError> {
    let mut unpacked = Vec::new();
    packed
        .take(limit.saturating_add(1))
        .read_to_end(&mut unpacked)
        .map_err(|source| DecodeError::Compression { format, source })?;
    if unpacked.len() as u64 > limit {
        return Err(DecodeError::TooLarge { limit });
    }
    Ok(unpacked)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn unpacks_by_content() {
        let plain = b"{\"slot\": 7}".repeat(40);
        let zstd = zstd::encode_all(plain.as_slice(), 3).unwrap();
        for packed in [plain.clone(), gzip(&plain), zstd] {
            assert_eq!(unpack(&packed, 1 << 20).unwrap(), plain);
        }
    }

    #[test]
    fn a_bomb_is_refused() {
        let packed = gzip(&vec![0; 1 << 20]);
        let limit = 1 << 16;
        let error = unpack(&packed, limit).unwrap_err();
        assert!(matches!(error, DecodeError::TooLarge { limit: l } if l == limit));
    }

    #[test]
    fn a_truncated_file_is_an_error() {
        let packed = gzip(&b"some text, more text, yet more text".repeat(9));
        let error = unpack(&packed[..packed.len() / 2], 1 << 20).unwrap_err();
        assert!(matches!(
            error,
            DecodeError::Compression { format: "gzip", .. }
        ));
    }
}
