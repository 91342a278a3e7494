//! Sets of slots, kept as ranges.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};
use streamsync_core::Slot;

/// A sorted set of slots, kept as inclusive ranges that neither overlap nor touch, so that a
/// million consecutive slots take as much room as two.
///
/// Its text form is compact JSON, `[[first,last],…]`.
///
/// ```
/// use streamsync_core::Slot;
/// use streamsync_lake::SlotSet;
///
/// let mut slots = SlotSet::new();
/// slots.insert(Slot(5));
/// slots.insert_range(Slot(6), Slot(9));
/// slots.insert(Slot(12));
/// assert_eq!(slots.to_string(), "[[5,9],[12,12]]");
/// assert_eq!(slots.len(), 6);
/// assert_eq!(slots.gaps().to_string(), "[[10,11]]");
/// ```
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(from = "Vec<(u64, u64)>", into = "Vec<(u64, u64)>")]
pub struct SlotSet {
    ranges: Vec<(u64, u64)>,
}

/// The slots whose rows a table holds, as [`Table::coverage`](crate::Table::coverage) gives it.
pub type Coverage = SlotSet;

/// Text that is not a set of slots.
#[derive(Debug, thiserror::Error)]
#[error("could not read a set of slots: write [[first,last],…] with first not above last")]
pub struct InvalidSlotSet {
    #[source]
    source: Option<serde_json::Error>,
}

impl SlotSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one slot; `false` if it was there already.
    pub fn insert(&mut self, slot: Slot) -> bool {
        let new = !self.contains(slot);
        self.insert_range(slot, slot);
        new
    }

    /// Adds the slots from `first` to `last`, both included. Nothing where `first` is above
    /// `last`.
    pub fn insert_range(&mut self, first: Slot, last: Slot) {
        let (mut first, mut last) = (first.0, last.0);
        if first > last {
            return;
        }
        // The ranges from `begin` up to `end` overlap the new one, or touch it.
        let begin = self
            .ranges
            .partition_point(|range| range.1.saturating_add(1) < first);
        let end = self
            .ranges
            .partition_point(|range| range.0 <= last.saturating_add(1));
        if let Some(joined) = self.ranges.get(begin..end)
            && let (Some(lowest), Some(highest)) = (joined.first(), joined.last())
        {
            first = first.min(lowest.0);
            last = last.max(highest.1);
        }
        self.ranges.splice(begin..end, [(first, last)]);
    }

    /// Whether the slot is in the set.
    pub fn contains(&self, slot: Slot) -> bool {
        let index = self.ranges.partition_point(|range| range.1 < slot.0);
        self.ranges
            .get(index)
            .is_some_and(|range| range.0 <= slot.0)
    }

    /// The slots that are in either set.
    pub fn union(&self, other: &Self) -> Self {
        self.ranges
            .iter()
            .chain(&other.ranges)
            .copied()
            .collect::<Vec<_>>()
            .into()
    }

    /// The slots that are in both sets.
    pub fn intersection(&self, other: &Self) -> Self {
        let (mut mine, mut theirs) = (self.ranges.iter(), other.ranges.iter());
        let (mut left, mut right) = (mine.next(), theirs.next());
        let mut ranges = Vec::new();
        while let (Some(a), Some(b)) = (left, right) {
            let (first, last) = (a.0.max(b.0), a.1.min(b.1));
            if first <= last {
                ranges.push((first, last));
            }
            if a.1 < b.1 {
                left = mine.next();
            } else {
                right = theirs.next();
            }
        }
        Self { ranges }
    }

    /// The slots of this set that are not in the other.
    pub fn difference(&self, other: &Self) -> Self {
        let mut ranges = Vec::new();
        for &(first, last) in &self.ranges {
            let mut from = Some(first);
            let start = other.ranges.partition_point(|range| range.1 < first);
            for &(cut_first, cut_last) in &other.ranges[start..] {
                let Some(begin) = from else { break };
                if cut_first > last {
                    break;
                }
                if begin < cut_first {
                    ranges.push((begin, cut_first - 1));
                }
                from = (cut_last < last).then(|| cut_last + 1);
            }
            if let Some(begin) = from {
                ranges.push((begin, last));
            }
        }
        Self { ranges }
    }

    /// The slots between the first and the last of the set that are not in it.
    pub fn gaps(&self) -> Self {
        let pairs = self.ranges.iter().zip(self.ranges.iter().skip(1));
        Self {
            ranges: pairs
                .map(|(before, after)| (before.1 + 1, after.0 - 1))
                .collect(),
        }
    }

    /// The inclusive ranges `(first, last)`, ascending, with at least one slot between two.
    pub fn ranges(&self) -> impl ExactSizeIterator<Item = (Slot, Slot)> + '_ {
        self.ranges
            .iter()
            .map(|&(first, last)| (Slot(first), Slot(last)))
    }

    /// Every slot, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        self.ranges
            .iter()
            .flat_map(|&(first, last)| first..=last)
            .map(Slot)
    }

    /// The number of slots; saturates at `u64::MAX`, one less than all slots there are.
    pub fn len(&self) -> u64 {
        self.ranges.iter().fold(0, |sum: u64, range| {
            sum.saturating_add((range.1 - range.0).saturating_add(1))
        })
    }

    /// Whether there is no slot in it.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// The lowest slot.
    pub fn first(&self) -> Option<Slot> {
        self.ranges.first().map(|range| Slot(range.0))
    }

    /// The highest slot.
    pub fn last(&self) -> Option<Slot> {
        self.ranges.last().map(|range| Slot(range.1))
    }
}

/// Takes ranges in any order; they may overlap. A range that ends before it begins counts for
/// nothing.
impl From<Vec<(u64, u64)>> for SlotSet {
    fn from(mut ranges: Vec<(u64, u64)>) -> Self {
        ranges.retain(|range| range.0 <= range.1);
        ranges.sort_unstable();
        let mut joined: Vec<(u64, u64)> = Vec::with_capacity(ranges.len());
        for (first, last) in ranges {
            match joined.last_mut() {
                Some(previous) if first <= previous.1.saturating_add(1) => {
                    previous.1 = previous.1.max(last);
                }
                _ => joined.push((first, last)),
            }
        }
        Self { ranges: joined }
    }
}

impl From<SlotSet> for Vec<(u64, u64)> {
    fn from(slots: SlotSet) -> Self {
        slots.ranges
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        slots
            .into_iter()
            .map(|slot| (slot.0, slot.0))
            .collect::<Vec<_>>()
            .into()
    }
}

impl Extend<Slot> for SlotSet {
    fn extend<I: IntoIterator<Item = Slot>>(&mut self, slots: I) {
        for slot in slots {
            self.insert(slot);
        }
    }
}

impl fmt::Display for SlotSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[")?;
        for (index, (first, last)) in self.ranges.iter().enumerate() {
            let separator = if index == 0 { "" } else { "," };
            write!(formatter, "{separator}[{first},{last}]")?;
        }
        formatter.write_str("]")
    }
}

impl FromStr for SlotSet {
    type Err = InvalidSlotSet;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ranges: Vec<(u64, u64)> =
            serde_json::from_str(text).map_err(|source| InvalidSlotSet {
                source: Some(source),
            })?;
        if ranges.iter().any(|range| range.0 > range.1) {
            return Err(InvalidSlotSet { source: None });
        }
        Ok(ranges.into())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn small_set() -> impl Strategy<Value = BTreeSet<u64>> {
        prop_oneof![
            proptest::collection::btree_set(0_u64..40, 0..20),
            proptest::collection::btree_set(u64::MAX - 30..=u64::MAX, 0..20),
        ]
    }

    fn slots(set: &BTreeSet<u64>) -> SlotSet {
        set.iter().copied().map(Slot).collect()
    }

    fn members(set: &SlotSet) -> BTreeSet<u64> {
        set.iter().map(|slot| slot.0).collect()
    }

    proptest! {
        #[test]
        fn behaves_as_a_set(a in small_set(), b in small_set()) {
            let (left, right) = (slots(&a), slots(&b));
            prop_assert_eq!(members(&left), a.clone());
            prop_assert_eq!(left.len(), a.len() as u64);
            prop_assert_eq!(left.union(&right), slots(&(&a | &b)));
            prop_assert_eq!(left.intersection(&right), slots(&(&a & &b)));
            prop_assert_eq!(left.difference(&right), slots(&(&a - &b)));
            for slot in 0..40 {
                prop_assert_eq!(left.contains(Slot(slot)), a.contains(&slot));
            }
        }

        #[test]
        fn inserting_ranges_in_any_order_gives_the_same_set(
            ranges in proptest::collection::vec((0_u64..60, 0_u64..8), 0..12),
        ) {
            let mut inserted = SlotSet::new();
            let mut expected = BTreeSet::new();
            for &(first, more) in &ranges {
                inserted.insert_range(Slot(first), Slot(first + more));
                expected.extend(first..=first + more);
            }
            prop_assert_eq!(&inserted, &slots(&expected));
            for pair in inserted.ranges.windows(2) {
                prop_assert!(pair[0].1 + 1 < pair[1].0, "ranges touch: {inserted}");
            }
        }

        #[test]
        fn survives_its_text(a in small_set()) {
            let set = slots(&a);
            prop_assert_eq!(&set.to_string().parse::<SlotSet>().unwrap(), &set);
            prop_assert_eq!(serde_json::to_string(&set).unwrap(), set.to_string());
        }

        #[test]
        fn gaps_fill_the_span(a in small_set()) {
            let set = slots(&a);
            let whole = set.union(&set.gaps());
            prop_assert!(set.intersection(&set.gaps()).is_empty());
            prop_assert!(whole.ranges().len() <= 1);
            prop_assert_eq!((whole.first(), whole.last()), (set.first(), set.last()));
        }
    }

    #[test]
    fn insert_tells_whether_the_slot_is_new() {
        let mut set = SlotSet::new();
        assert!(set.insert(Slot(3)));
        assert!(!set.insert(Slot(3)));
        assert!(set.insert(Slot(u64::MAX)));
        assert_eq!(set.len(), 2);
    }

    #[test]
    fn an_inverted_range_is_refused() {
        assert!("[[5,4]]".parse::<SlotSet>().is_err());
        assert!("{}".parse::<SlotSet>().is_err());
        let mut set = SlotSet::new();
        set.insert_range(Slot(5), Slot(4));
        assert!(set.is_empty());
    }
}
