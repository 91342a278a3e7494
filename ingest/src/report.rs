//! What an ingest did.

use crate::source::Failure;
use std::{collections::BTreeMap, fmt, time::Duration};
use streamsync_core::Slot;
use streamsync_lake::SlotSet;

/// What was ingested and what was not.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The slots whose blocks this ingest added.
    pub ingested: SlotSet,
    /// The slots that the lake had already.
    pub already_there: SlotSet,
    /// The slots of which the source said that they were skipped.
    pub skipped: SlotSet,
    /// What could not be ingested, and why.
    pub failures: Vec<Failure>,
    /// The blocks whose parents the lake does not have.
    pub missing_parents: Vec<MissingParent>,
    /// The number of rows added to each table.
    pub rows: BTreeMap<&'static str, u64>,
    /// The size of the files added, in bytes.
    pub bytes: u64,
    /// The time it took.
    pub elapsed: Duration,
    /// Whether it was stopped before the source ended.
    pub stopped: bool,
}

/// A gap: a block is in the lake, the one before it is not.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct MissingParent {
    /// The slot of the block.
    pub slot: Slot,
    /// The slot of the block before it.
    pub parent_slot: Slot,
}

impl Report {
    /// Whether all that the source had is in the lake now.
    pub fn is_complete(&self) -> bool {
        self.failures.is_empty() && !self.stopped
    }

    /// The number of rows added to all tables.
    pub fn total_rows(&self) -> u64 {
        self.rows.values().sum()
    }
}

impl fmt::Display for MissingParent {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { slot, parent_slot } = self;
        write!(
            formatter,
            "slot {slot} is here, its parent {parent_slot} is not"
        )
    }
}

/// One line for people.
impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} slots ingested, {} already there, {} skipped, {} failed; {} rows, {} bytes in {:.1} s",
            self.ingested.len(),
            self.already_there.len(),
            self.skipped.len(),
            self.failures.len(),
            self.total_rows(),
            self.bytes,
            self.elapsed.as_secs_f64(),
        )?;
        match self.missing_parents.len() {
            0 => Ok(()),
            1 => formatter.write_str("; 1 parent missing"),
            parents => write!(formatter, "; {parents} parents missing"),
        }
    }
}
