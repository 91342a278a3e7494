//! The router: it takes a query over HTTP, pins it to a snapshot of the lake, has several workers
//! race to answer it, and returns the first answer that others confirm.
//!
//! The router keeps nothing: any number of them can run over one lake and one Redis.

mod archive;
mod catalog;
mod classify;
mod connections;
mod contest;
mod dispute;
mod fleet;
mod heat;
mod http;
mod outbox;
mod plan;
mod queue;
mod racer;
mod router;
mod spool;
mod stage;
mod statement;
mod watch;

pub use archive::archive_until;
pub use catalog::Catalog;
pub use contest::{RaceError, RacerReport};
pub use fleet::Fleet;
pub use http::routes;
pub use plan::{Ask, PlanError, Verify};
pub use queue::{Client, Full};
pub use racer::Rows;
pub use router::{Raced, Router, RouterError};
pub use spool::{Spool, SpoolError};
pub use statement::{Analysed, MAX_BYTES, Position, Refused, analyse};
pub use watch::watch;
