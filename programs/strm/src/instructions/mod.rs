//! What the program can be told to do.

mod batch;
mod claim;
mod create;
mod deposit;
mod network;
mod stake;
mod transfer;

pub use batch::*;
pub use claim::*;
pub use deposit::*;
pub use network::*;
pub use stake::*;
