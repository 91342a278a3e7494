//! The lake: open Delta tables of Solana chain data in a bucket or a folder.

mod append;
mod check;
mod commit;
mod create;
mod data_file;
mod engine;
mod file_name;
mod file_reader;
mod file_writer;
mod lake;
mod listing;
mod prune;
mod scalar;
mod slot_set;
mod store;
mod table;
pub mod tables;

pub use append::{Append, AppendError, Appended, TransactionId};
pub use check::CheckLakeError;
pub use create::CreateTableError;
pub use data_file::{ColumnRange, DataFile};
pub use file_reader::ReadFileError;
pub use lake::{Lake, ListTablesError, OpenLakeError};
pub use prune::{Constraint, ConstraintOp, prune};
pub use scalar::Scalar;
pub use slot_set::{Coverage, InvalidSlotSet, SlotSet};
pub use table::{
    COVERAGE_DOMAIN, CheckpointError, CoverageError, ListFilesError, OpenTableError, Table,
};
