//! The Merkle tree of a batch; [`strm::merkle`] says how it is hashed.

use crate::Reward;
use solana_pubkey::Pubkey;
use strm::{ProvenReward, merkle};

/// The tree over the rewards of a batch, in their order.
///
/// ```
/// use solana_pubkey::Pubkey;
/// use streamsync_core::Amount;
/// use streamsync_settlement::{Reward, RewardTree};
///
/// let reward = |byte, units| Reward {
///     recipient: Pubkey::new_from_array([byte; 32]),
///     amount: Amount(units),
/// };
/// let rewards = [reward(1, 5), reward(2, 7), reward(3, 9)];
/// let network = Pubkey::new_from_array([9; 32]);
/// let tree = RewardTree::new(&network, 4, &rewards);
/// let proof = tree.proof(2).unwrap();
/// let leaf = strm::merkle::leaf(&network, 4, 2, &rewards[2].recipient, 9);
/// assert_eq!(strm::merkle::root(leaf, 2, 3, &proof), Some(tree.root()));
/// ```
#[derive(Clone, Debug)]
pub struct RewardTree {
    /// From the leaves up.
    levels: Vec<Vec<[u8; 32]>>,
}

impl RewardTree {
    /// The tree of a batch of a network.
    pub fn new(network: &Pubkey, batch: u64, rewards: &[Reward]) -> Self {
        let leaves = rewards.iter().zip(0..).map(|(reward, index)| {
            merkle::leaf(network, batch, index, &reward.recipient, reward.amount.0)
        });
        let mut levels = vec![leaves.collect::<Vec<_>>()];
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = below.chunks(2).map(|pair| match pair {
                [left, right] => merkle::node(left, right),
                alone => alone.first().copied().unwrap_or_default(),
            });
            let above = above.collect();
            levels.push(above);
        }
        Self { levels }
    }

    /// The root; zeros where there are no rewards.
    pub fn root(&self) -> [u8; 32] {
        let top = self.levels.last().and_then(|level| level.first());
        top.copied().unwrap_or_default()
    }

    /// The siblings on the way up from a leaf, from below; `None` if there is no such leaf.
    pub fn proof(&self, index: u32) -> Option<Vec<[u8; 32]>> {
        let mut place = usize::try_from(index).ok()?;
        self.levels.first()?.get(place)?;
        let mut proof = Vec::new();
        for level in &self.levels {
            proof.extend(level.get(place ^ 1));
            place /= 2;
        }
        Some(proof)
    }

    /// A reward with its proof, as the program takes it.
    pub fn prove(&self, rewards: &[Reward], index: u32) -> Option<(Pubkey, ProvenReward)> {
        let reward = rewards.get(usize::try_from(index).ok()?)?;
        let proven = ProvenReward {
            index,
            amount: reward.amount.0,
            proof: self.proof(index)?,
        };
        Some((reward.recipient, proven))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use streamsync_core::Amount;

    fn rewards(count: u32) -> Vec<Reward> {
        let reward = |number: u32| {
            let mut key = [0; 32];
            key[..4].copy_from_slice(&number.to_be_bytes());
            Reward {
                recipient: Pubkey::new_from_array(key),
                amount: Amount(u64::from(number) + 1),
            }
        };
        (0..count).map(reward).collect()
    }

    fn root(count: u32) -> String {
        let network = Pubkey::new_from_array([7; 32]);
        hex::encode(RewardTree::new(&network, 42, &rewards(count)).root())
    }

    /// Computed apart from this code: SHA-256 over the bytes that `strm::merkle` describes, by a
    /// Python script. A root that changes makes every settled batch unclaimable.
    #[test]
    fn golden_roots() {
        assert_eq!(root(0), "0".repeat(64));
        for (count, expected) in GOLDEN {
            assert_eq!(root(count), expected, "{count}");
        }
    }

    const GOLDEN: [(u32, &str); 5] = [
        (
            1,
            "4ebe57e2b1cb6d8a2570c2f1160be6cac94976ec7362a21b4db360bf2b7079a6",
        ),
        (
            2,
            "4da533aaade5c1691e89ff9128c8cdfae276a0f366e8944bf1bf9d36245abde8",
        ),
        (
            3,
            "13fbb9bb3234e88b2bc93badc87f7bd522488d011120d2e9bcb76a57c68ee382",
        ),
        (
            5,
            "30a15e40ceee279cba9983b1a1b959bf9adefb73b895705fb26775257a4bde93",
        ),
        (
            1_000,
            "143b32b62706721702ad98405d5655793a42016a19191cb88652e3fa85d92551",
        ),
    ];

    proptest! {
        #[test]
        fn every_reward_is_proven_and_nothing_else(count in 1_u32..300, index in 0_u32..300) {
            let (network, rewards) = (Pubkey::new_unique(), rewards(count));
            let tree = RewardTree::new(&network, 3, &rewards);
            prop_assert_eq!(tree.proof(count), None);
            let index = index % count;
            let (recipient, proven) = tree.prove(&rewards, index).unwrap();
            let lead = |recipient, amount| {
                let leaf = merkle::leaf(&network, 3, index, recipient, amount);
                merkle::root(leaf, index, count, &proven.proof)
            };
            prop_assert_eq!(lead(&recipient, proven.amount), Some(tree.root()));
            prop_assert_ne!(lead(&recipient, proven.amount + 1), Some(tree.root()));
            prop_assert_ne!(lead(&network, proven.amount), Some(tree.root()));
        }
    }
}
