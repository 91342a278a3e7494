//! Lakes with small files in them.

use arrow::{
    array::{
        ArrayRef, Date32Array, Int32Array, Int64Array, RecordBatch, StringArray,
        TimestampMicrosecondArray,
    },
    compute::concat_batches,
};
use std::{sync::Arc, time::Duration};
use streamsync_compactor::{Claims, Compactor, Silent};
use streamsync_core::{
    Slot, TableName,
    clock::{Clock, SystemClock},
    config::{BucketConfig, CompactorConfig},
};
use streamsync_lake::{Append, Appended, Lake, Table, tables};
use streamsync_testing::row_lines;

/// 2024-03-14T00:00Z, in days since 1970.
pub const DAY: i32 = 19_796;
pub const HOUR: Duration = Duration::from_secs(3_600);
/// The slots of one append.
const SLOTS: u64 = 10;

/// A clock that is ahead of the bucket's.
pub struct Ahead(pub Duration);

impl Clock for Ahead {
    fn now(&self) -> std::time::SystemTime {
        SystemClock.now() + self.0
    }

    fn monotonic(&self) -> Duration {
        SystemClock.monotonic()
    }
}

pub fn memory(name: &str) -> Lake {
    over(format!("memory:///compactor-{name}"))
}

pub fn over(url: String) -> Lake {
    Lake::open(&BucketConfig {
        url,
        ..BucketConfig::default()
    })
    .unwrap()
}

pub fn name(table: &str) -> TableName {
    TableName::new(table).unwrap()
}

/// Everything small is merged four at a time, and nothing is so old that it is settled.
pub fn config() -> CompactorConfig {
    CompactorConfig {
        fan_in: 4,
        target_file_bytes: 64 << 10,
        promise_s: 3_600,
        memory_bytes: 64 << 20,
        settled_after_s: 1_000_000_000,
        ..CompactorConfig::default()
    }
}

pub fn compactor(lake: &Lake, config: CompactorConfig, ahead: Duration) -> Compactor {
    let clock = Arc::new(Ahead(ahead));
    Compactor::open(lake.clone(), Claims::Alone, config, clock, Arc::new(Silent)).unwrap()
}

/// The rows of `log_messages` of some slots, each with its own text, an hour of slots a day.
pub fn logs(slots: impl IntoIterator<Item = u64>) -> RecordBatch {
    let rows: Vec<(i64, i32)> = slots
        .into_iter()
        .flat_map(|slot| (0..3).map(move |log| (slot as i64, log)))
        .collect();
    let times = rows
        .iter()
        .map(|(slot, _)| (i64::from(DAY) * 86_400 + slot * 20) * 1_000_000);
    let days = times
        .clone()
        .map(|time| time.div_euclid(86_400_000_000) as i32);
    let messages = rows
        .iter()
        .map(|(slot, log)| format!("Program log: {slot} of {log}, {}", slot.wrapping_mul(7919)));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Date32Array::from_iter_values(days)),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.0))),
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|_| 0))),
        Arc::new(Int32Array::from_iter_values(rows.iter().map(|row| row.1))),
        Arc::new(StringArray::from_iter_values(messages)),
    ];
    let schema = tables::definition("log_messages").unwrap().schema.clone();
    RecordBatch::try_new(schema, columns).unwrap()
}

pub async fn append(table: &Table, number: u64) -> Table {
    let slots = number * SLOTS..(number + 1) * SLOTS;
    let append = Append {
        // The last slot comes first: files are sorted by whoever writes them.
        batches: vec![logs(slots.clone().rev())],
        covers: Some(slots.map(Slot).collect()),
        transaction: None,
    };
    match table.append(append).await.unwrap() {
        Appended::Committed { table, .. } | Appended::AlreadyThere { table } => table,
    }
}

/// The table `log_messages` after so many appends, one file each.
pub async fn small_files(lake: &Lake, appends: u64) -> Table {
    let definition = tables::definition("log_messages").unwrap();
    let mut table = lake.create_table(definition).await.unwrap();
    for number in 0..appends {
        table = append(&table, number).await;
    }
    table
}

/// All rows of a table, each as a line of text, sorted.
pub async fn all_rows(table: &Table) -> Vec<String> {
    let mut batches = Vec::new();
    for file in table.files().await.unwrap().iter() {
        batches.extend(table.read(file).await.unwrap());
    }
    let mut lines = row_lines(&concat_batches(&table.schema(), &batches).unwrap());
    lines.sort();
    lines
}

/// The rows of the first so many appends.
pub fn expected(appends: u64) -> Vec<String> {
    let mut lines = row_lines(&logs(0..appends * SLOTS));
    lines.sort();
    lines
}
