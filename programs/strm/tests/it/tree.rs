//! Trees of rewards, built level by level as the settlement does.

use anchor_lang::prelude::Pubkey;
use strm::{ProvenReward, merkle};

pub struct Tree {
    levels: Vec<Vec<[u8; 32]>>,
    rewards: Vec<(Pubkey, u64)>,
}

impl Tree {
    pub fn new(network: &Pubkey, batch: u64, rewards: Vec<(Pubkey, u64)>) -> Self {
        let leaves = rewards
            .iter()
            .enumerate()
            .map(|(index, (who, amount))| merkle::leaf(network, batch, index as u32, who, *amount));
        let mut levels = vec![leaves.collect::<Vec<_>>()];
        while levels.last().unwrap().len() > 1 {
            let above = levels.last().unwrap().chunks(2).map(|pair| match pair {
                [left, right] => merkle::node(left, right),
                [alone] => *alone,
                _ => unreachable!(),
            });
            let above = above.collect();
            levels.push(above);
        }
        Self { levels, rewards }
    }

    pub fn root(&self) -> [u8; 32] {
        self.levels.last().unwrap()[0]
    }

    pub fn leaves(&self) -> u32 {
        self.rewards.len() as u32
    }

    pub fn total(&self) -> u64 {
        self.rewards.iter().map(|(_, amount)| amount).sum()
    }

    /// An inner node, as high above the leaves as `level`.
    pub fn node(&self, level: usize, place: usize) -> [u8; 32] {
        self.levels[level][place]
    }

    pub fn proof(&self, index: u32) -> (Pubkey, ProvenReward) {
        let (who, amount) = self.rewards[index as usize];
        let mut place = index as usize;
        let mut proof = Vec::new();
        for level in &self.levels {
            proof.extend(level.get(place ^ 1));
            place /= 2;
        }
        let proof = ProvenReward {
            index,
            amount,
            proof,
        };
        (who, proof)
    }
}

#[test]
fn every_leaf_leads_to_the_root_and_nothing_else_does() {
    let network = Pubkey::new_unique();
    for count in 1..=40_u64 {
        let rewards: Vec<_> = (0..count).map(|n| (Pubkey::new_unique(), n + 1)).collect();
        let tree = Tree::new(&network, 7, rewards);
        for index in 0..tree.leaves() {
            let (who, reward) = tree.proof(index);
            let leaf = merkle::leaf(&network, 7, index, &who, reward.amount);
            let leaves = tree.leaves();
            let root = |leaf, index, proof: &[[u8; 32]]| merkle::root(leaf, index, leaves, proof);
            assert_eq!(root(leaf, index, &reward.proof), Some(tree.root()));
            for other in (0..leaves).filter(|other| *other != index) {
                assert_ne!(root(leaf, other, &reward.proof), Some(tree.root()));
            }
            assert_eq!(root(leaf, leaves, &reward.proof), None);
            let mut longer = reward.proof.clone();
            longer.push([0; 32]);
            assert_eq!(root(leaf, index, &longer), None);
            if let Some((_, shorter)) = reward.proof.split_last() {
                assert_eq!(root(leaf, index, shorter), None);
            }
            for place in 0..reward.proof.len() {
                let mut wrong = reward.proof.clone();
                wrong[place][31] ^= 1;
                assert_ne!(root(leaf, index, &wrong), Some(tree.root()));
            }
        }
    }
}
