//! Solana blocks become the rows of the lake.
//!
//! A [`Source`] gives blocks: recorded files, a JSON-RPC endpoint, or made-up ones. They are
//! decoded to a [`Block`], which becomes [`BlockRows`], one batch for each table; [`ingest`] appends
//! those to the lake, exactly once however often it is repeated or interrupted.
//!
//! ```
//! use std::sync::Arc;
//! use streamsync_core::config::BucketConfig;
//! use streamsync_ingest::{IngestOptions, ingest, progress::Silent, source::synthetic::Synthetic};
//! use streamsync_lake::Lake;
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bucket = BucketConfig {
//!     url: "memory:///ingest-example".to_owned(),
//!     ..BucketConfig::default()
//! };
//! let lake = Lake::open(&bucket)?;
//! let source = Synthetic::new(1, 10, 100);
//! let options = IngestOptions::default();
//! let report = ingest(source.clone(), &lake, options.clone(), Arc::new(Silent)).await?;
//! assert!(report.is_complete());
//! assert!(report.rows["transactions"] > 100);
//!
//! let again = ingest(source, &lake, options, Arc::new(Silent)).await?;
//! assert_eq!(again.total_rows(), 0);
//! # Ok(())
//! # }
//! ```

pub mod account_file;
mod batch;
mod block;
mod decode;
pub mod decoded;
mod lineage;
mod pipeline;
pub mod progress;
mod report;
mod rows;
pub mod source;
mod writer;

pub use block::{
    AccountKey, Block, Instruction, InvalidTransaction, OuterInstruction, Reward, RewardType,
    TokenBalance, Transaction, VOTE_PROGRAM, Version,
};
pub use decode::{DecodeError, MAX_BLOCK_BYTES, TransactionProblem, decode};
pub use pipeline::{IngestError, IngestOptions, ingest};
pub use report::{MissingParent, Report};
pub use rows::{BlockRows, RowsError};
pub use source::{Failure, Found, ReadError, Source, SourceError, Unread};
