//! The tree of a batch, as the chain checks it.
//!
//! Leaves and inner nodes are hashed with SHA-256 behind different first bytes, so that neither can
//! pass for the other (the second pre-image of RFC 6962, section 2.1). A node without a sibling goes
//! up unchanged; the number of leaves, which the batch records, says where that is, so that each
//! leaf has one proof and no other.

use anchor_lang::prelude::Pubkey;
use solana_sha256_hasher::hashv;

const LEAF: &[u8] = &[0];
const NODE: &[u8] = &[1];
const DOMAIN: &[u8] = b"streamsync reward v1";

/// The hash of who gets how much of which batch.
pub fn leaf(network: &Pubkey, batch: u64, index: u32, recipient: &Pubkey, amount: u64) -> [u8; 32] {
    hashv(&[
        LEAF,
        DOMAIN,
        network.as_ref(),
        &batch.to_le_bytes(),
        &index.to_le_bytes(),
        recipient.as_ref(),
        &amount.to_le_bytes(),
    ])
    .to_bytes()
}

/// The hash above two others.
pub fn node(left: &[u8; 32], right: &[u8; 32]) -> [u8; 32] {
    hashv(&[NODE, left, right]).to_bytes()
}

/// The root that a leaf and its proof lead to: the siblings on the way up, from below. `None` if
/// the tree has no such leaf, or the proof has more or fewer nodes than the way.
pub fn root(leaf: [u8; 32], index: u32, leaves: u32, proof: &[[u8; 32]]) -> Option<[u8; 32]> {
    if index >= leaves {
        return None;
    }
    let (mut hash, mut place, mut width) = (leaf, index, leaves);
    let mut siblings = proof.iter();
    while width > 1 {
        let lonely = place == width - 1 && width % 2 == 1;
        if !lonely {
            let sibling = siblings.next()?;
            hash = match place % 2 {
                0 => node(&hash, sibling),
                _ => node(sibling, &hash),
            };
        }
        (place, width) = (place / 2, width.div_ceil(2));
    }
    siblings.next().is_none().then_some(hash)
}
