//! The synthetic lake: decided by a seed, laid out as a compactor leaves it, made once and kept.

pub mod account_transactions;
pub mod signatures;
pub mod token_balances;

use crate::{
    Fallible,
    options::Place,
    report::{Report, count},
    sample,
};
use arrow::{array::RecordBatch, datatypes::SchemaRef, error::ArrowError};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, time::Duration};
use streamsync_core::{TableName, config::BucketConfig};
use streamsync_lake::{Append, Appended, Lake, Table, tables};
use tokio::sync::mpsc;

/// Rows of a file, about.
const FILE_ROWS: u64 = 1_000_000;
/// How many files are written at once.
const WRITES_AT_ONCE: usize = 2;
/// The first slot, and the first day: 14 March 2024.
pub const FIRST_SLOT: i64 = 254_000_000;
/// The day of the first slot, in days since 1970.
pub const FIRST_DAY: i32 = 19_796;
/// Slots in a day, of 400 milliseconds each.
pub const SLOTS_A_DAY: i64 = 216_000;
/// All slots of the lake.
pub const SLOTS: i64 = SLOTS_A_DAY * token_balances::DAYS as i64;
/// A mask for places in a block.
const TRANSACTIONS: i32 = 2_047;

/// Takes the rows of one file; says whether more are wanted.
type Emit<'a> = dyn FnMut(RecordBatch) -> bool + 'a;
type Generate = fn(u64, u64, &SchemaRef, &mut Emit<'_>) -> Result<(), ArrowError>;

/// A table of the lake.
pub struct Part {
    /// Its name.
    pub name: &'static str,
    /// Its rows at 1×.
    pub rows: u64,
    /// Bytes of a row as Arrow in memory.
    pub row_bytes: u64,
    generate: Generate,
}

/// The tables of the lake.
pub const PARTS: [Part; 3] = [
    Part {
        name: "signatures",
        rows: 1_000_000,
        row_bytes: 4 + (88 + 4) + 8 + 4,
        generate: signatures::generate,
    },
    Part {
        name: "account_transactions",
        rows: 1_000_000,
        row_bytes: 4 + (44 + 4) + 8 + 4 + 1,
        generate: account_transactions::generate,
    },
    Part {
        name: "token_balances",
        rows: 250_000,
        row_bytes: 4 + 8 + 8 + 4 + 4 * (44 + 4) + 4 + 2 * 16,
        generate: token_balances::generate,
    },
];

/// What is known of a lake that is complete.
#[derive(Debug, Deserialize, PartialEq, Serialize)]
struct Record {
    seed: u64,
    scale: u64,
    /// Changes with what the generator makes.
    layout: u32,
}

const LAYOUT: u32 = 1;

/// Rows of a full file where a partition has so many rows: files of one size, with some room for
/// partitions that are larger than others.
fn even(rows: u64) -> usize {
    let files = rows.div_ceil(FILE_ROWS).max(1);
    usize::try_from(rows / files * 11 / 10 + 1).unwrap_or(usize::MAX)
}

/// The rows of a table at a scale.
pub fn rows(table: &str, scale: u64) -> u64 {
    let part = PARTS.iter().find(|part| part.name == table);
    part.map_or(0, |part| part.rows * scale)
}

/// The folder of the lake at a scale.
pub fn folder(place: &Place, scale: u64) -> PathBuf {
    place.folder.join(format!("lake-{scale}"))
}

/// The lake at a scale, made if it is not there.
pub async fn open(place: &Place, scale: u64) -> Fallible<Lake> {
    make(place, scale).await?;
    at(place, scale)
}

/// The lake at a scale, which must be there.
pub fn at(place: &Place, scale: u64) -> Fallible<Lake> {
    let url = folder(place, scale).display().to_string();
    let bucket = BucketConfig {
        url,
        ..BucketConfig::default()
    };
    Ok(Lake::open(&bucket)?)
}

/// Makes the lake at a scale, unless it is there, and tells how long that took.
pub async fn make(place: &Place, scale: u64) -> Fallible<Option<Report>> {
    let folder = folder(place, scale);
    // Written last: a lake without it is unfinished.
    let record_path = folder.with_extension("json");
    let record = Record {
        seed: place.seed,
        scale,
        layout: LAYOUT,
    };
    if let Ok(found) = std::fs::read(&record_path)
        && serde_json::from_slice::<Record>(&found).is_ok_and(|found| found == record)
        && folder.is_dir()
    {
        return Ok(None);
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let lake = at(place, scale)?;
    let mut report = Report::new(&format!("lake at {scale}×"));
    for part in &PARTS {
        let definition = tables::definition(part.name).ok_or("the lake has no such table")?;
        let table = lake.create_table(definition).await?;
        let began = sample::now();
        eprintln!("making {} at {scale}×", part.name);
        let made = fill(&table, part, place.seed, scale).await?;
        let described = made.describe(sample::now() - began);
        eprintln!("  {described}");
        report.fact(part.name, described);
    }
    std::fs::write(&record_path, serde_json::to_vec(&record)?)?;
    Ok(Some(report))
}

/// What was written.
#[derive(Default)]
struct Made {
    files: usize,
    rows: u64,
    bytes: u64,
}

impl Made {
    fn describe(&self, took: Duration) -> String {
        format!(
            "{} rows in {} files, {} MiB, {:.1} s, {} rows/s",
            count(self.rows as f64),
            self.files,
            self.bytes >> 20,
            took.as_secs_f64(),
            count(self.rows as f64 / took.as_secs_f64()),
        )
    }
}

/// Generates on one thread and writes on others, a few files ahead at most.
async fn fill(table: &Table, part: &Part, seed: u64, scale: u64) -> Fallible<Made> {
    let (sender, receiver) = mpsc::channel::<RecordBatch>(1);
    let (schema, generate, rows) = (table.schema(), part.generate, part.rows * scale);
    let generator = tokio::task::spawn_blocking(move || {
        let mut emit = |batch| sender.blocking_send(batch).is_ok();
        generate(seed, rows, &schema, &mut emit)
    });
    let batches = futures::stream::unfold(receiver, async |mut receiver| {
        receiver.recv().await.map(|batch| (batch, receiver))
    });
    let made = batches
        .map(|batch| async move {
            let append = Append {
                batches: vec![batch],
                ..Append::default()
            };
            match table.append(append).await? {
                Appended::Committed {
                    files, rows, bytes, ..
                } => Fallible::Ok(Made { files, rows, bytes }),
                Appended::AlreadyThere { .. } => Err("the table was not empty".into()),
            }
        })
        .buffer_unordered(WRITES_AT_ONCE)
        .try_fold(Made::default(), async |all, one| -> Fallible<Made> {
            Ok(Made {
                files: all.files + one.files,
                rows: all.rows + one.rows,
                bytes: all.bytes + one.bytes,
            })
        })
        .await?;
    generator.await??;
    Ok(made)
}

/// The newest versions of the lake's tables.
pub async fn tables(lake: &Lake) -> Fallible<Vec<Table>> {
    let mut tables = Vec::new();
    for part in &PARTS {
        tables.push(lake.table(&TableName::new(part.name)?).await?);
    }
    Ok(tables)
}
