//! The program in a real bank: what it is for, and every attack on it that we know.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod attacks;
mod bank;
mod batches;
mod deposits;
mod governance;
mod stakes;
mod tree;
