//! Counting which partitions are asked for, so that workers can pull them before they are.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};
use streamsync_core::Partition;

/// The most partitions that are counted between two flushes.
const MOST: usize = 10_000;

/// The partitions that were asked for since the last flush. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Heat(Arc<Mutex<BTreeMap<Partition, u64>>>);

impl Heat {
    /// Counts the partitions of a query.
    pub(crate) fn count(&self, partitions: &[Partition]) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for partition in partitions {
            if let Some(count) = counts.get_mut(partition) {
                *count += 1;
            } else if counts.len() < MOST {
                counts.insert(partition.clone(), 1);
            }
        }
    }

    /// The counts, which begin anew.
    pub(crate) fn take(&self) -> BTreeMap<Partition, u64> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
