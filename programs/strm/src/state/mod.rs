//! The accounts of the program.

mod batch;
mod deposit;
mod network;
mod operator;

pub use batch::*;
pub use deposit::*;
pub use network::*;
pub use operator::*;
