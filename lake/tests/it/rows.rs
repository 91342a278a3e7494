//! Rows for tests, and how to look at them.

use arrow::{
    array::{
        ArrayRef, Date32Array, Int32Array, Int64Array, RecordBatch, StringArray,
        TimestampMicrosecondArray,
    },
    compute::concat_batches,
};
use std::sync::Arc;
use streamsync_core::{Slot, TableName};
use streamsync_lake::{Append, Appended, SlotSet, Table, tables};
use streamsync_testing::row_lines;

/// Microseconds in a day.
pub const DAY: i64 = 86_400_000_000;

pub fn name(table: &str) -> TableName {
    TableName::new(table).unwrap()
}

/// Rows of the table `signatures`: `count` of them for each slot, in no order.
pub fn signatures(slots: impl IntoIterator<Item = u64>, count: i32) -> RecordBatch {
    let rows: Vec<(String, i64, i32)> = slots
        .into_iter()
        .flat_map(|slot| (0..count).map(move |index| (slot, index)))
        .map(|(slot, index)| (format!("{index}-{slot}"), slot as i64, index))
        .collect();
    let buckets = rows.iter().map(|row| tables::bucket(&row.0));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int32Array::from_iter_values(buckets)),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| &row.0))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.1))),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.2))),
    ];
    let schema = tables::definition("signatures").unwrap().schema.clone();
    RecordBatch::try_new(schema, columns).unwrap()
}

/// Rows of the table `log_messages`, one for each slot and time (microseconds since 1970).
pub fn log_messages(rows: &[(u64, Option<i64>, &str)]) -> RecordBatch {
    let days = rows
        .iter()
        .map(|row| row.1.map(|time| time.div_euclid(DAY) as i32));
    let times: TimestampMicrosecondArray = rows.iter().map(|row| row.1).collect();
    let columns: Vec<ArrayRef> = vec![
        Arc::new(days.collect::<Date32Array>()),
        Arc::new(Int64Array::from_iter_values(
            rows.iter().map(|row| row.0 as i64),
        )),
        Arc::new(times.with_timezone("UTC")),
        Arc::new(Int32Array::from_iter_values(0..rows.len() as i32)),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|_| 0))),
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.2))),
    ];
    let schema = tables::definition("log_messages").unwrap().schema.clone();
    RecordBatch::try_new(schema, columns).unwrap()
}

pub fn slots(slots: impl IntoIterator<Item = u64>) -> SlotSet {
    slots.into_iter().map(Slot).collect()
}

/// An append of two signatures for each slot, which covers the slots.
pub fn append_of(covered: impl IntoIterator<Item = u64> + Clone) -> Append {
    Append {
        batches: vec![signatures(covered.clone(), 2)],
        covers: Some(slots(covered)),
        transaction: None,
    }
}

pub fn committed(appended: Appended) -> Table {
    match appended {
        Appended::Committed { table, .. } => table,
        Appended::AlreadyThere { table } => panic!("nothing was appended to {table:?}"),
    }
}

/// All rows of a table, each as a line of text, sorted.
pub async fn all_rows(table: &Table) -> Vec<String> {
    let mut batches = Vec::new();
    for file in table.files().await.unwrap().iter() {
        batches.extend(table.read(file).await.unwrap());
    }
    lines(&concat_batches(&table.schema(), &batches).unwrap())
}

/// The rows of a batch, each as a line of text, sorted.
pub fn lines(batch: &RecordBatch) -> Vec<String> {
    let mut lines = row_lines(batch);
    lines.sort();
    lines
}
