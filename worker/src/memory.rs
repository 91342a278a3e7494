//! The hot tier: pages of files in memory, decoded, within a budget.
//!
//! A page is a few thousand rows in the order of the key that the file is sorted by, so the rows of
//! one key are found by bisection, whatever the size of the lake. Which pages stay is decided by
//! frequency and recency of use (W-TinyLFU); scans do not come here at all.

use crate::{LoadError, file_key::FileKey, table_source};
use arrow::array::{Array, ArrayRef, RecordBatch};
use moka::future::Cache;
use std::{cmp::Ordering, ops::Range, sync::Arc};
use streamsync_core::Scalar;
use streamsync_lake::OpenFile;

/// The weight of cached pages is counted in these, because it has 32 bits.
const WEIGHT_BYTES: u64 = 1 << 10;

/// Pages of files in memory. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Memory {
    pages: Cache<(FileKey, usize), Arc<Rows>>,
    budget: u64,
}

/// The rows of one page.
pub(crate) struct Rows {
    batch: RecordBatch,
    /// The place of the key column, by which the rows are ordered, if they are.
    sorted_by: Option<usize>,
}

impl Memory {
    /// No pages yet, at most this many bytes of them.
    pub(crate) fn new(budget: u64) -> Self {
        let pages = Cache::builder()
            .max_capacity(budget / WEIGHT_BYTES)
            .weigher(|_, rows: &Arc<Rows>| {
                u32::try_from(rows.bytes().div_ceil(WEIGHT_BYTES)).unwrap_or(u32::MAX)
            })
            .eviction_listener(|_, rows: Arc<Rows>, _| {
                metrics::counter!("streamsync_cache_evicted_bytes_total", "tier" => "memory")
                    .increment(rows.bytes());
            })
            .build();
        Self { pages, budget }
    }

    /// Brings the counts up to date.
    pub(crate) async fn settle(&self) {
        self.pages.run_pending_tasks().await;
    }

    /// The bytes that it may hold.
    pub(crate) fn budget(&self) -> u64 {
        self.budget
    }

    /// The bytes that it holds.
    pub(crate) fn used(&self) -> u64 {
        self.pages.weighted_size() * WEIGHT_BYTES
    }

    /// Whether more can come in without anything going out.
    pub(crate) fn has_room(&self) -> bool {
        self.used() < self.budget / 10 * 9
    }

    /// How many pages it holds.
    pub(crate) fn held(&self) -> u64 {
        self.pages.entry_count()
    }

    /// A page, if it is in memory.
    pub(crate) async fn get(&self, key: &FileKey, page: usize) -> Option<Arc<Rows>> {
        self.pages.get(&(key.clone(), page)).await
    }

    /// A page, read from its file if it is not in memory. However many queries miss one page, it
    /// is read once.
    pub(crate) async fn load(
        &self,
        key: &FileKey,
        page: usize,
        file: OpenFile,
        sort_column: &'static str,
    ) -> Result<Arc<Rows>, Arc<LoadError>> {
        let entry = self
            .pages
            .entry((key.clone(), page))
            .or_try_insert_with(async move {
                let rows = file.read(&file.pages()[page]).await?;
                let schema = table_source::plain(file.schema());
                let batch = table_source::plain_rows(&rows, &schema)?;
                Ok::<_, LoadError>(Arc::new(Rows::new(batch, sort_column)))
            })
            .await?;
        if !entry.is_fresh() {
            metrics::counter!("streamsync_cache_shared_reads_total").increment(1);
        }
        Ok(entry.into_value())
    }
}

impl Rows {
    fn new(batch: RecordBatch, sort_column: &str) -> Self {
        let column = batch.schema().index_of(sort_column).ok();
        let sorted_by = column.filter(|&at| is_sorted(batch.column(at)));
        Self { batch, sorted_by }
    }

    fn bytes(&self) -> u64 {
        self.batch.get_array_memory_size() as u64
    }

    /// The rows with these keys, which are distinct, or all rows of a page that is not in order.
    pub(crate) fn of(&self, keys: &[&Scalar]) -> Vec<RecordBatch> {
        let Some(column) = self.sorted_by else {
            return vec![self.batch.clone()];
        };
        let of_key = keys.iter().map(|key| {
            let rows = range_of(self.batch.column(column), key);
            self.batch.slice(rows.start, rows.len())
        });
        of_key.filter(|rows| rows.num_rows() > 0).collect()
    }
}

/// Whether the values are in order, NULLs first, as files are written.
fn is_sorted(values: &ArrayRef) -> bool {
    let pairs = (1..values.len()).map(|row| (row - 1, row));
    let mut values = pairs.map(|(one, next)| (at(values, one), at(values, next)));
    values.all(|(one, next)| match (one, next) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(one), Some(next)) => one <= next,
    })
}

/// Where a value stands in values that are in order, NULLs first.
fn range_of(values: &ArrayRef, key: &Scalar) -> Range<usize> {
    let partition = |before: fn(Ordering) -> bool| {
        let (mut low, mut high) = (0, values.len());
        while low < high {
            let middle = low + (high - low) / 2;
            let order = at(values, middle).and_then(|value| value.partial_cmp(key));
            if order.is_none_or(before) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    };
    partition(Ordering::is_lt)..partition(Ordering::is_le)
}

fn at(values: &ArrayRef, row: usize) -> Option<Scalar> {
    Scalar::from_array(values.as_ref(), row)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use arrow::array::{Int64Array, StringArray};
    use proptest::prelude::*;

    fn rows(keys: &[Option<String>]) -> Rows {
        let column: ArrayRef = Arc::new(keys.iter().cloned().collect::<StringArray>());
        let places: ArrayRef = Arc::new(Int64Array::from_iter_values(0..keys.len() as i64));
        let batch =
            RecordBatch::try_from_iter_with_nullable([("key", column, true), ("n", places, false)]);
        Rows::new(batch.unwrap(), "key")
    }

    proptest! {
        #[test]
        fn bisection_finds_what_a_look_at_every_row_finds(
            mut keys in prop::collection::vec(prop::option::of("[a-c]{0,2}"), 0..60),
            wanted in "[a-c]{0,2}",
        ) {
            keys.sort();
            let expected = keys.iter().filter(|key| key.as_deref() == Some(&wanted)).count();
            let rows = rows(&keys);
            prop_assert!(rows.sorted_by.is_some());
            let key = Scalar::Text(wanted);
            let found = rows.of(&[&key]);
            prop_assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), expected);
            for batch in found {
                let values = batch.column(0);
                prop_assert!((0..values.len()).all(|row| at(values, row).as_ref() == Some(&key)));
            }
        }
    }

    #[test]
    fn a_page_that_is_not_in_order_is_given_whole() {
        let rows = rows(&[Some("b".into()), Some("a".into()), Some("b".into())]);
        let keys = [&Scalar::Text("a".into()), &Scalar::Text("b".into())];
        let found = rows.of(&keys);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].num_rows(), 3);
    }
}
