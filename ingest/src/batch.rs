//! Blocks that are waiting to be written together.

use crate::BlockRows;
use arrow::record_batch::RecordBatch;
use streamsync_lake::SlotSet;

/// Blocks of one commit.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    blocks: Vec<BlockRows>,
    /// Every slot that the batch settles: those of its blocks, and skipped ones.
    covers: SlotSet,
    rows: u64,
    bytes: u64,
}

impl Batch {
    pub(crate) fn push(&mut self, block: BlockRows, skipped: &SlotSet) {
        for (first, last) in skipped.ranges() {
            self.covers.insert_range(first, last);
        }
        self.covers.insert(block.slot);
        self.rows += block.rows();
        self.bytes += block.bytes();
        self.blocks.push(block);
    }

    pub(crate) fn covers(&self) -> &SlotSet {
        &self.covers
    }

    /// The slots that have blocks.
    pub(crate) fn blocks(&self) -> SlotSet {
        self.blocks.iter().map(|block| block.slot).collect()
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rows
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.blocks.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// The rows of one table, by its place among the definitions, of those slots.
    pub(crate) fn table(&self, index: usize, slots: &SlotSet) -> Vec<RecordBatch> {
        let blocks = self.blocks.iter();
        blocks
            .filter(|block| slots.contains(block.slot))
            .filter_map(|block| block.batches.get(index))
            .filter(|rows| rows.num_rows() > 0)
            .cloned()
            .collect()
    }
}
