//! Which blocks hang together.

use crate::report::MissingParent;
use std::collections::BTreeMap;
use streamsync_core::Slot;
use streamsync_lake::SlotSet;

/// What the parents of blocks tell about the slots between them.
///
/// An endpoint's word that a slot was skipped may only mean that the endpoint does not have its
/// block. That a later block has an earlier parent proves it.
#[derive(Debug, Default)]
pub(crate) struct Lineage {
    /// Slots that are said to be skipped, not yet proved.
    claimed: SlotSet,
    /// Blocks by the slots of their parents.
    children: BTreeMap<Slot, Slot>,
}

impl Lineage {
    /// The source says that these slots were skipped.
    pub(crate) fn claim(&mut self, first: Slot, last: Slot) {
        self.claimed.insert_range(first, last);
    }

    /// A block has come. The result are the skipped slots that it proves.
    pub(crate) fn add(&mut self, slot: Slot, parent: Slot) -> SlotSet {
        self.children.insert(parent, slot);
        let mut between = SlotSet::new();
        if let (Some(after), Some(before)) = (parent.0.checked_add(1), slot.0.checked_sub(1)) {
            between.insert_range(Slot(after), Slot(before));
        }
        let proved = self.claimed.intersection(&between);
        self.claimed = self.claimed.difference(&proved);
        proved
    }

    /// Forgets the parents that `present` has, so that memory stays small.
    pub(crate) fn settle(&mut self, present: &SlotSet) {
        self.children.retain(|&parent, _| !present.contains(parent));
    }

    /// The blocks whose parents are not `present`. The lowest block of all has its parent below the
    /// lake's beginning, which is no gap.
    pub(crate) fn missing(mut self, present: &SlotSet) -> Vec<MissingParent> {
        self.settle(present);
        let lowest = present.first();
        let gaps = self.children.into_iter();
        gaps.filter(|&(parent, _)| lowest.is_some_and(|lowest| parent > lowest))
            .map(|(parent_slot, slot)| MissingParent { slot, parent_slot })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slots(all: impl IntoIterator<Item = u64>) -> SlotSet {
        all.into_iter().map(Slot).collect()
    }

    #[test]
    fn a_later_block_proves_skipped_slots() {
        let mut lineage = Lineage::default();
        lineage.claim(Slot(11), Slot(12));
        lineage.claim(Slot(14), Slot(14));
        assert_eq!(lineage.add(Slot(10), Slot(9)), slots([]));
        assert_eq!(lineage.add(Slot(13), Slot(10)), slots([11, 12]));
        // Slot 14 had a block: 15 stands on it.
        assert_eq!(lineage.add(Slot(15), Slot(14)), slots([]));
        let missing = lineage.missing(&slots([10, 11, 12, 13, 15]));
        let gap = MissingParent {
            slot: Slot(15),
            parent_slot: Slot(14),
        };
        assert_eq!(missing, [gap]);
    }

    #[test]
    fn the_beginning_of_the_lake_is_no_gap() {
        let mut lineage = Lineage::default();
        lineage.add(Slot(64_800_004), Slot(64_799_999));
        assert_eq!(lineage.missing(&slots([64_800_004])), []);
    }

    #[test]
    fn a_parent_that_is_there_is_forgotten() {
        let mut lineage = Lineage::default();
        lineage.add(Slot(20), Slot(15));
        lineage.settle(&slots([15]));
        assert!(lineage.children.is_empty());
    }
}
