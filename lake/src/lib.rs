//! The lake: open Delta tables of Solana chain data in a bucket, a folder or memory.
//!
//! A [`Lake`] is a bucket; a [`Table`] is one of its tables, pinned at one version. Rows come in by
//! [`Table::append`], exactly once by construction: files are put first, and become part of the
//! table in one conditional commit, which also records the transaction and the slots that are
//! covered. Rows go out by [`Table::files`], [`prune`] and [`Table::read`]. The tables are plain
//! Delta Lake, so that others can read them without this crate; `docs/DATA.md` says what is in
//! them.
//!
//! ```
//! use arrow::array::{Int32Array, Int64Array, RecordBatch, StringArray};
//! use std::sync::Arc;
//! use streamsync_core::{Slot, TableName, config::BucketConfig};
//! use streamsync_lake::{
//!     Append, Appended, Constraint, ConstraintOp, Lake, Scalar, SlotSet, prune, tables,
//! };
//!
//! # #[tokio::main]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let lake = Lake::open(&BucketConfig {
//!     url: "memory:///example".to_owned(),
//!     ..BucketConfig::default()
//! })?;
//! lake.create_tables().await?;
//! let table = lake.table(&TableName::new("signatures")?).await?;
//!
//! let signatures = ["2nBhEBYY", "5VERv8NM"];
//! let rows = RecordBatch::try_new(
//!     table.schema(),
//!     vec![
//!         Arc::new(Int32Array::from(signatures.map(tables::bucket).to_vec())),
//!         Arc::new(StringArray::from(signatures.to_vec())),
//!         Arc::new(Int64Array::from(vec![254_170_887; 2])),
//!         Arc::new(Int32Array::from(vec![0, 1])),
//!     ],
//! )?;
//! let append = Append {
//!     batches: vec![rows],
//!     covers: Some(SlotSet::from_iter([Slot(254_170_887)])),
//!     transaction: None,
//! };
//! let Appended::Committed { table, rows: 2, .. } = table.append(append.clone()).await? else {
//!     panic!("a new slot is committed");
//! };
//! // The same slot again changes nothing.
//! let again = table.append(append).await?;
//! assert!(matches!(again, Appended::AlreadyThere { .. }));
//!
//! let wanted = Constraint {
//!     column: "signature".to_owned(),
//!     op: ConstraintOp::Eq(Scalar::Text("5VERv8NM".to_owned())),
//! };
//! let files = table.files().await?;
//! for file in prune(tables::definition("signatures").unwrap(), &files, &[wanted]) {
//!     let rows = table.read(file).await?;
//!     assert_eq!(rows[0].schema(), table.schema());
//! }
//! # Ok(())
//! # }
//! ```

mod append;
mod archive;
mod check;
mod checked_store;
mod commit;
mod create;
mod data_file;
mod download;
mod engine;
mod file_name;
mod file_reader;
mod file_writer;
mod lake;
mod listing;
mod log;
mod object;
mod open;
mod open_file;
mod prune;
mod replace;
mod slot_set;
mod sorted_writer;
mod store;
mod table;
pub mod tables;
mod traced_store;
mod vacuum;
mod whole_lists;

pub use append::{Append, AppendError, Appended, TransactionId};
pub use archive::ArchiveError;
pub use check::CheckLakeError;
pub use commit::CommitError;
pub use create::CreateTableError;
pub use data_file::{ColumnRange, DataFile};
pub use download::{BLOCK_BYTES, BlockChecksums, DownloadError};
pub use file_reader::ReadFileError;
pub use file_writer::{EncodeError, NewFile};
pub use lake::{Lake, ListTablesError, OpenLakeError};
pub use log::{AddedRows, LogCommit, ReadLogError};
pub use object::ObjectError;
pub use open::OpenTableError;
pub use open_file::{OpenFile, Page};
pub use prune::prune;
pub use replace::{Replace, ReplaceError, Replaced, StagedFile};
pub use slot_set::{Coverage, InvalidSlotSet, SlotSet};
pub use sorted_writer::SortedWriter;
pub use streamsync_core::{Constraint, ConstraintOp, Scalar};
pub use table::{COVERAGE_DOMAIN, CheckpointError, CoverageError, ListFilesError, Table};
pub use vacuum::{Unneeded, VacuumError};
