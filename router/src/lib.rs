//! The router: it takes a query over HTTP, pins it to a snapshot of the lake, has several workers
//! race to answer it, and returns the first answer that others confirm.
//!
//! The router keeps nothing: any number of them can run over one lake and one Redis.

mod candidate;
mod catalog;
mod fleet;
mod heat;
mod http;
mod plan;
mod race;
mod racer;
mod router;
mod statement;
mod verdict;
mod watch;

pub use candidate::choose;
pub use catalog::Catalog;
pub use fleet::Fleet;
pub use http::routes;
pub use plan::{Ask, PlanError, Verify};
pub use race::{RaceError, RacerReport};
pub use router::{Raced, Router, RouterError};
pub use statement::{Analysed, MAX_BYTES, Position, Refused, analyse};
pub use watch::watch;
