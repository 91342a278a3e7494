//! From the bytes of a recording or of an endpoint's answer to a [`Block`].

mod compression;
mod error;
mod json;
mod meta;
mod parsed;
mod protobuf;
mod transaction;

pub use error::{DecodeError, TransactionProblem};

use crate::Block;
use streamsync_core::Slot;

/// The most bytes that a recording of one block may have, before and after decompression.
pub const MAX_BLOCK_BYTES: u64 = 512 << 20;

/// Decodes one block.
///
/// The content decides how: gzip and zstd are unpacked; what then begins with `{` is JSON, a
/// `getBlock` result in any of Solana's encodings, bare, in a JSON-RPC envelope or as
/// `{"slot": …, "block": …}`; all else is a protobuf `ConfirmedBlock`. The slot is the caller's if
/// it names one, or else the wrapper's.
pub fn decode(bytes: &[u8], slot: Option<Slot>) -> Result<Block, DecodeError> {
    let bytes = compression::unpack(bytes, MAX_BLOCK_BYTES)?;
    let start = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    let block = match start {
        None => return Err(DecodeError::Empty),
        Some(b'{') => json::decode(&bytes, slot)?,
        Some(_) => protobuf::decode(&bytes, slot.ok_or(DecodeError::NoSlot)?)?,
    };
    check(&block)?;
    Ok(block)
}

fn check(block: &Block) -> Result<(), DecodeError> {
    if block.parent_slot >= block.slot && block.slot != Slot(0) {
        let (slot, parent) = (block.slot, block.parent_slot);
        return Err(DecodeError::Parent { slot, parent });
    }
    for (index, transaction) in block.transactions.iter().enumerate() {
        transaction
            .check()
            .map_err(|problem| DecodeError::transaction(block.slot, index, problem))?;
    }
    Ok(())
}
