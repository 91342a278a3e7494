//! A lake of many small files.

use crate::Fallible;
use arrow::array::{ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{path::Path, sync::Arc};
use streamsync_core::config::BucketConfig;
use streamsync_lake::{Append, Appended, Lake, Table, tables};

/// The table that is measured: cut into 16 partitions by key, so each commit writes 16 files.
pub const TABLE: &str = "account_transactions";
/// How many accounts there are; a few of them are in most of the rows, as on the chain.
const ACCOUNTS: u64 = 200_000;
/// How many accounts are looked up.
const KEYS: usize = 256;

/// What was made.
pub struct Made {
    pub files: usize,
    pub bytes: u64,
    pub rows: u64,
    /// Accounts that are in it.
    pub keys: Vec<String>,
}

pub fn open(root: &Path) -> Fallible<Lake> {
    Ok(Lake::open(&BucketConfig {
        url: root.display().to_string(),
        ..BucketConfig::default()
    })?)
}

/// Appends so many times so many rows.
pub async fn make(root: &Path, appends: u64, rows: u64) -> Fallible<Made> {
    let lake = open(root)?;
    let definition = tables::definition(TABLE).ok_or("the lake has no such table")?;
    let mut table = lake.create_table(definition).await?;
    let mut random = ChaCha8Rng::seed_from_u64(6);
    let mut keys = Vec::new();
    for number in 0..appends {
        let batch = batch(&table, &mut random, number, rows, &mut keys)?;
        let append = Append {
            batches: vec![batch],
            ..Append::default()
        };
        table = match table.append(append).await? {
            Appended::Committed { table, .. } | Appended::AlreadyThere { table } => table,
        };
    }
    let files = table.files().await?;
    Ok(Made {
        files: files.len(),
        bytes: files.iter().map(|file| file.size).sum(),
        rows: appends * rows,
        keys,
    })
}

fn batch(
    table: &Table,
    random: &mut ChaCha8Rng,
    number: u64,
    rows: u64,
    keys: &mut Vec<String>,
) -> Fallible<RecordBatch> {
    let accounts: Vec<String> = (0..rows)
        .map(|_| {
            // Squared, so that low numbers are far more frequent.
            let part: f64 = random.random();
            account((part * part * ACCOUNTS as f64) as u64)
        })
        .collect();
    if keys.len() < KEYS {
        keys.extend(accounts.last().cloned());
    }
    let buckets = accounts.iter().map(|account| tables::bucket(account));
    let slots = (0..rows).map(|row| (number * 100 + row % 100) as i64);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(buckets.collect::<Int32Array>()),
        Arc::new(StringArray::from_iter_values(&accounts)),
        Arc::new(slots.collect::<Int64Array>()),
        Arc::new((0..rows).map(|row| row as i32).collect::<Int32Array>()),
        Arc::new(
            (0..rows)
                .map(|row| Some(row % 3 == 0))
                .collect::<BooleanArray>(),
        ),
        Arc::new(
            (0..rows)
                .map(|row| Some(row % 2 == 0))
                .collect::<BooleanArray>(),
        ),
    ];
    Ok(RecordBatch::try_new(table.schema(), columns)?)
}

/// 44 letters, as an address has, that do not compress better than one.
fn account(number: u64) -> String {
    const LETTERS: &[u8] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut random = ChaCha8Rng::seed_from_u64(number);
    let letter = |_| char::from(LETTERS[random.random_range(0..LETTERS.len())]);
    (0..44).map(letter).collect()
}
