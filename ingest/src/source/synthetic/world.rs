//! Who and what there is in a synthetic world.

use rand::Rng;
use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_transaction_error::TransactionError;
use streamsync_core::Slot;

const VALIDATORS: u64 = 1_400;
const WALLETS: u64 = 200_000;
const MINTS: u64 = 5_000;
const POOLS: u64 = 2_000;
const EXCHANGES: u64 = 25;

const BASE58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
const LABEL: &str = "Synthetic";
/// With the label in front so many digits make just 32 bytes.
const HASH_DIGITS: usize = 43;

/// Everything is a function of the seed.
#[derive(Clone, Debug)]
pub(super) struct World {
    seed: u64,
    /// With what transactions fail.
    pub(super) errors: Vec<TransactionError>,
}

/// A validator.
pub(super) struct Validator {
    pub(super) identity: Pubkey,
    pub(super) vote_account: Pubkey,
}

/// A token.
#[derive(Clone, Copy)]
pub(super) struct Mint {
    pub(super) address: Pubkey,
    pub(super) decimals: u8,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let errors = [
            r#"{"InstructionError":[0,{"Custom":1}]}"#,
            r#"{"InstructionError":[0,{"Custom":6001}]}"#,
            r#"{"InstructionError":[0,"InvalidAccountData"]}"#,
            r#"{"InsufficientFundsForRent":{"account_index":0}}"#,
        ];
        let errors = errors.into_iter().map(serde_json::from_str);
        Self {
            seed,
            errors: errors.filter_map(Result::ok).collect(),
        }
    }

    /// A number that seems random, for the `index`th thing of a kind.
    pub(super) fn number(&self, kind: &str, index: u64) -> u64 {
        let kind = kind.bytes().fold(self.seed, |hash, byte| {
            scramble(hash ^ u64::from(byte).rotate_left(17))
        });
        scramble(kind ^ scramble(index))
    }

    pub(super) fn key(&self, kind: &str, index: u64) -> Pubkey {
        let mut word = self.number(kind, index);
        let mut key = [0; 32];
        for chunk in key.chunks_exact_mut(8) {
            word = scramble(word);
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        Pubkey::new_from_array(key)
    }

    /// A hash that says what it is.
    pub(super) fn blockhash(&self, slot: Slot) -> Hash {
        let mut word = self.number("blockhash", slot.0);
        let mut text = String::with_capacity(HASH_DIGITS);
        text.push_str(LABEL);
        while text.len() < HASH_DIGITS {
            word = scramble(word);
            text.push(char::from(BASE58[(word % 58) as usize]));
        }
        // All such texts are hashes.
        text.parse().unwrap_or_default()
    }

    pub(super) fn validator(&self, index: u64) -> Validator {
        let index = index % VALIDATORS;
        Validator {
            identity: self.key("validator", index),
            vote_account: self.key("vote account", index),
        }
    }

    /// Every validator votes about as often.
    pub(super) fn any_validator(&self, rng: &mut impl Rng) -> Validator {
        self.validator(rng.random_range(0..VALIDATORS))
    }

    pub(super) fn any_wallet(&self, rng: &mut impl Rng) -> Pubkey {
        self.key("wallet", zipf(rng, WALLETS))
    }

    pub(super) fn any_mint(&self, rng: &mut impl Rng) -> Mint {
        let index = zipf(rng, MINTS);
        let decimals = [9, 6, 6, 8, 0];
        Mint {
            address: self.key("mint", index),
            decimals: decimals[(self.number("decimals", index) % 5) as usize],
        }
    }

    pub(super) fn any_pool(&self, rng: &mut impl Rng) -> Pubkey {
        self.key("pool", zipf(rng, POOLS))
    }

    pub(super) fn any_exchange(&self, rng: &mut impl Rng) -> Pubkey {
        self.key("exchange", zipf(rng, EXCHANGES))
    }

    /// The account in which an owner holds a token.
    pub(super) fn token_account(&self, owner: &Pubkey, mint: &Pubkey) -> Pubkey {
        let word = |key: &Pubkey| {
            let mut word = [0; 8];
            word.copy_from_slice(&key.as_array()[..8]);
            u64::from_le_bytes(word)
        };
        self.key("token account", word(owner) ^ word(mint).rotate_left(1))
    }
}

/// A rank below `count`, each about as often as one over its place.
fn zipf(rng: &mut impl Rng, count: u64) -> u64 {
    let place = (count as f64).powf(rng.random::<f64>());
    (place as u64).clamp(1, count) - 1
}

/// Mixes the bits of a number (the finaliser of SplitMix64).
fn scramble(number: u64) -> u64 {
    let mut bits = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_few_take_most() {
        let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(3);
        let ranks: Vec<_> = (0..10_000).map(|_| zipf(&mut rng, WALLETS)).collect();
        assert!(ranks.iter().all(|&rank| rank < WALLETS));
        let top = ranks.iter().filter(|&&rank| rank < 100).count();
        assert!((3_000..5_000).contains(&top), "{top}");
    }

    #[test]
    fn every_blockhash_is_labelled() {
        let world = World::new(9);
        assert_eq!(world.errors.len(), 4);
        for slot in 0..500 {
            let hash = world.blockhash(Slot(slot)).to_string();
            assert!(hash.starts_with(LABEL), "{hash}");
        }
    }
}
