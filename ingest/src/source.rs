//! Where blocks come from.

pub mod files;
pub mod rpc;
pub mod synthetic;

use crate::{Block, DecodeError};
use futures::stream::BoxStream;
use std::{error::Error, fmt, sync::Arc};
use streamsync_core::Slot;
use streamsync_lake::SlotSet;

/// A source of blocks.
pub trait Source: Send + 'static {
    /// What it is, in a few words for people, without secrets.
    fn describe(&self) -> String;

    /// Everything it has, if possible in the order of slots.
    ///
    /// `covered` are the slots that the lake has: a source that can tell need not fetch them, and
    /// says [`Found::Covered`] instead. An error ends the source; what concerns one slot only is
    /// [`Found::Failed`]. The stream is polled no faster than blocks are written.
    fn read(self, covered: Arc<SlotSet>) -> BoxStream<'static, Result<Found, SourceError>>;
}

/// What a source comes upon.
pub enum Found {
    /// There are about this many slots to come in all.
    Expected(u64),
    /// A block, to be read and decoded.
    Block(Unread),
    /// A slot that the lake has already.
    Covered(Slot),
    /// Slots, both ends included, of which the source says that they were skipped.
    Skipped(Slot, Slot),
    /// Slots that the source cannot give.
    Failed(Failure),
}

/// A block that is yet to be read and decoded, away from the async threads.
pub struct Unread {
    /// The slot, if it is known beforehand.
    pub slot: Option<Slot>,
    /// Where the block is: a file, an endpoint.
    pub origin: String,
    /// Reads and decodes it.
    pub read: Box<dyn FnOnce() -> Result<Block, ReadError> + Send>,
}

/// Why one block could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// A file could not be read.
    #[error("could not read the file")]
    File(#[source] std::io::Error),
    /// A file is larger than any block.
    #[error("the file has {size} bytes, more than the {limit} that any block has")]
    TooLarge {
        /// Its size.
        size: u64,
        /// The most that is read.
        limit: u64,
    },
    /// The block could not be decoded.
    #[error(transparent)]
    Decode(#[from] DecodeError),
}

/// Slots that could not be ingested, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Failure {
    /// The first and the last slot, if they are known.
    pub slots: Option<(Slot, Slot)>,
    /// Where they should have come from.
    pub origin: String,
    /// The cause, with all its causes.
    pub cause: String,
}

impl Failure {
    /// A failure of one slot, if it is known which.
    pub fn new(slot: Option<Slot>, origin: impl Into<String>, cause: &dyn Error) -> Self {
        Self {
            slots: slot.map(|slot| (slot, slot)),
            origin: origin.into(),
            cause: chain(cause),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.slots {
            Some((first, last)) if first == last => write!(formatter, "slot {first}")?,
            Some((first, last)) => write!(formatter, "slots {first} to {last}")?,
            None => formatter.write_str("a block")?,
        }
        write!(formatter, " from {}: {}", self.origin, self.cause)
    }
}

/// An error with all its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        // Some errors repeat their cause.
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        cause = error.source();
    }
    text
}

/// Why a source gives nothing, or nothing more.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A folder or file could not be looked at.
    #[error("could not look for block files in {path}")]
    List {
        /// The folder or file.
        path: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// There are no block files.
    #[error(
        "there are no block files in {path}: their names end in .json, .pb or .bin, with .gz or \
         .zst after it if they are compressed"
    )]
    NoFiles {
        /// The folder.
        path: String,
    },
    /// A slot was given for many files.
    #[error("one slot was given for the {files} block files in {path}: give it for one file only")]
    SlotForMany {
        /// The folder.
        path: String,
        /// How many files there are.
        files: usize,
    },
    /// The endpoint did not answer as it should.
    #[error(transparent)]
    Rpc(#[from] rpc::CallError),
    /// The range of slots is empty.
    #[error("there is no slot from {first} to {last}: give the lower one first")]
    Range {
        /// The first.
        first: Slot,
        /// The last.
        last: Slot,
    },
}
