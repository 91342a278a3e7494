//! Solana blocks become the rows of the lake.

#![allow(missing_docs)]

mod block;
mod decode;
mod rows;

pub use block::*;
pub use decode::{DecodeError, MAX_BLOCK_BYTES, TransactionProblem, decode};
pub use rows::*;
