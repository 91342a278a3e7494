//! The router: it takes a query over HTTP, pins it to a snapshot of the lake, has several workers
//! race to answer it, and returns the first answer that others confirm.
//!
//! The router keeps nothing: any number of them can run over one lake and one Redis.

mod accounts;
mod administration;
mod archive;
mod backup;
mod callers;
mod catalog;
mod classify;
mod connections;
mod contest;
mod credit;
mod dispute;
mod fleet;
#[cfg(test)]
mod fuzz;
mod heat;
mod http;
mod journal;
mod journal_file;
mod limits;
mod market;
mod nonces;
mod outbox;
mod plan;
mod queue;
mod racer;
mod router;
mod spool;
mod stage;
mod statement;
mod unstaffed;
mod watch;

pub use accounts::{Accounts, AccountsError};
pub use administration::{Actor, Administration, AdministrationError, Issued, NewKey};
pub use archive::archive_until;
pub use backup::{
    ActsError, BackupError, Backups, PutBackError, Restored, SettledError, StoredBackup,
    acts_since, back_up_until, put_back,
};
pub use callers::AccessError;
pub use catalog::Catalog;
pub use contest::{RaceError, RacerReport};
pub use credit::CreditError;
pub use fleet::Fleet;
pub use http::routes;
pub use journal::{Journal, JournalError, Limits};
pub use limits::{Limited, Remaining};
pub use market::Price;
pub use nonces::Replayed;
pub use plan::{Ask, PlanError, ReadPartition, Verify};
pub use queue::{Client, Full};
pub use racer::Rows;
pub use router::{Bill, Quote, Raced, Router, RouterError};
pub use spool::{Spool, SpoolError};
pub use statement::{Analysed, MAX_BYTES, Position, Refused, analyse};
pub use watch::watch;
