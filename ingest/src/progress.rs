//! Telling people how an ingest is going.

mod bar;
mod lines;

pub use bar::ProgressBar;
pub use lines::ProgressLines;

use crate::{Failure, Report};
use std::{io::IsTerminal, sync::Arc};
use streamsync_core::clock::SharedClock;

/// Who is told. Every method does nothing unless it is given something to do; they are called
/// between steps of the work and must return soon.
pub trait Progress: Send + Sync + 'static {
    /// The ingest begins, from that source.
    fn started(&self, source: &str) {
        let _ = source;
    }

    /// There are about this many slots to come in all.
    fn expected(&self, slots: u64) {
        let _ = slots;
    }

    /// So much is done.
    fn advanced(&self, done: Done) {
        let _ = done;
    }

    /// So many rows were committed to a table.
    fn committed(&self, table: &str, rows: u64) {
        let _ = (table, rows);
    }

    /// Something could not be ingested.
    fn failed(&self, failure: &Failure) {
        let _ = failure;
    }

    /// The ingest is over.
    fn finished(&self, report: &Report) {
        let _ = report;
    }
}

/// How much is done.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Done {
    /// Slots that were dealt with: ingested or read, already there, skipped, failed.
    pub slots: u64,
    /// Rows that were built.
    pub rows: u64,
}

/// Tells nobody.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Progress for Silent {}

/// A bar where standard error is a terminal, otherwise a log line every few seconds.
pub fn for_stderr(clock: SharedClock) -> Arc<dyn Progress> {
    if std::io::stderr().is_terminal() {
        Arc::new(ProgressBar::new())
    } else {
        Arc::new(ProgressLines::new(clock))
    }
}
