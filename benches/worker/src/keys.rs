//! Made-up keys that look like base58 text: in ascending order, all different, each to be had
//! without those before it.

/// Base58's alphabet, which is in the order of ASCII.
const ALPHABET: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
/// How many characters 64 bits decide.
const CHUNK: usize = 10;
/// The number of texts of [`CHUNK`] characters.
const CHUNKS: u64 = 58_u64.pow(CHUNK as u32);
/// The length of a signature.
pub const SIGNATURE: usize = 88;
/// The length of an address.
pub const ADDRESS: usize = 44;

/// So many keys of one kind, decided by a seed.
#[derive(Clone, Copy, Debug)]
pub struct Keys {
    seed: u64,
    count: u64,
    length: usize,
}

impl Keys {
    /// `count` keys of `length` characters.
    pub fn new(seed: u64, count: u64, length: usize) -> Self {
        Self {
            seed,
            count: count.max(1),
            length,
        }
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The key at a place in the order.
    pub fn get(&self, index: u64) -> String {
        let mut key = String::new();
        self.write(index, &mut key);
        key
    }

    /// Writes the key at a place in the order over what the text was.
    pub fn write(&self, index: u64, key: &mut String) {
        key.clear();
        // The first characters ascend, with a step of a random size; the others are random.
        let step = CHUNKS / self.count;
        let noise = mix(self.seed, index);
        push(key, index * step + noise % step, CHUNK);
        let mut state = noise;
        while key.len() < self.length {
            state = mix(state, index);
            push(key, state % CHUNKS, CHUNK.min(self.length - key.len()));
        }
    }

    /// So many of the keys, picked at random and different, in random order.
    pub fn pick(&self, seed: u64, many: usize) -> Vec<String> {
        let mut picked = std::collections::BTreeSet::new();
        let mut order = Vec::new();
        let many = many.min(usize::try_from(self.count).unwrap_or(usize::MAX));
        for turn in 0.. {
            if order.len() == many {
                break;
            }
            let index = mix(seed, turn) % self.count;
            if picked.insert(index) {
                order.push(self.get(index));
            }
        }
        order
    }
}

fn push(key: &mut String, mut number: u64, characters: usize) {
    let mut text = [b'1'; CHUNK];
    for place in text.iter_mut().rev() {
        *place = ALPHABET[(number % 58) as usize];
        number /= 58;
    }
    key.extend(text[..characters].iter().map(|&byte| char::from(byte)));
}

/// A number that looks random, decided by two others: SplitMix64.
pub fn mix(seed: u64, index: u64) -> u64 {
    let mut z = seed.wrapping_add(index.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_ascend_and_are_as_long_as_wanted() {
        for (count, length) in [(1, 44), (1_000, 44), (100_000_000, 88)] {
            let keys = Keys::new(7, count, length);
            let some: Vec<String> = (count.saturating_sub(1_000)..count)
                .map(|index| keys.get(index))
                .collect();
            assert!(some.windows(2).all(|pair| pair[0] < pair[1]));
            assert!(some.iter().all(|key| key.len() == length));
        }
    }

    #[test]
    fn picked_keys_differ_and_are_decided_by_the_seed() {
        let keys = Keys::new(7, 300, 44);
        let picked = keys.pick(1, 256);
        let different: std::collections::BTreeSet<_> = picked.iter().collect();
        assert_eq!(different.len(), 256);
        assert_eq!(picked, keys.pick(1, 256));
        assert_ne!(picked, keys.pick(2, 256));
    }
}
