//! Inputs that are nearly right, for fuzzing: they get further than noise does.

/// A seed with edits: each four bytes of `edits` overwrite, insert, delete, or repeat something at a
/// place in it. Without edits it is the seed.
pub fn mutated(seed: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut bytes = seed.to_vec();
    for edit in edits.chunks_exact(4) {
        if bytes.is_empty() {
            break;
        }
        let place = usize::from(u16::from_le_bytes([edit[1], edit[2]])) % bytes.len();
        match edit[0] % 5 {
            0 => bytes[place] = edit[3],
            1 => bytes.insert(place, edit[3]),
            2 => drop(bytes.remove(place)),
            3 => bytes[place] ^= 1 << (edit[3] % 8),
            _ => {
                let end = bytes.len().min(place + usize::from(edit[3]) + 1);
                let piece = bytes[place..end].to_vec();
                bytes.splice(place..place, piece);
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::mutated;

    #[test]
    fn edits_are_what_they_are_called() {
        assert_eq!(mutated(b"abc", &[]), b"abc");
        assert_eq!(mutated(b"abc", &[0, 1, 0, b'x']), b"axc");
        assert_eq!(mutated(b"abc", &[1, 1, 0, b'x']), b"axbc");
        assert_eq!(mutated(b"abc", &[2, 1, 0, 0]), b"ac");
        assert_eq!(mutated(b"abc", &[3, 0, 0, 1]), b"cbc");
        assert_eq!(mutated(b"abc", &[4, 1, 0, 1]), b"abcbc");
        assert_eq!(mutated(b"a", &[2, 0, 0, 0, 0, 0, 0, 0]), b"");
    }
}
