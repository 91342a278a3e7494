//! The compactor: keeps the lake sorted, merged and small, while others read and write it.
//!
//! Everything it does is one Delta commit at a time, so that whoever reads sees the same rows before
//! and after, and whoever is killed leaves nothing but files that no version names; and what those
//! take is freed by the next vacuum. Any number of compactors share the work of a lake; see
//! [`Claims`].

mod accounts;
mod claims;
mod compactor;
mod derived;
mod merge;
mod observer;
mod plan;
mod report;
mod rollup;
mod scratch;
mod sorter;

pub use accounts::AccountsError;
pub use claims::Claims;
pub use compactor::{CompactError, Compactor, OpenCompactorError};
pub use merge::MergeError;
pub use observer::{Observer, Silent};
pub use plan::{GENERATIONS, Merge, Shape};
pub use report::{Report, TablePlan, TableStatus};
pub use rollup::RollupError;
pub use scratch::ScratchError;
