//! Settled batches in the lake.

use crate::{Batch, ChainError, Step, Steps, chain::check};
use arrow::{
    array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int64Array, ListBuilder, RecordBatch,
        StringArray, StringBuilder, TimestampMicrosecondArray,
    },
    datatypes::{DataType, Field},
    error::ArrowError,
};
use std::sync::Arc;
use streamsync_core::{Amount, SignedReceipt, WorkerId};
use streamsync_lake::{
    Append, AppendError, Appended, CreateTableError, Lake, Table, TransactionId, tables,
};
use strm::state;

/// Under which name batches are recorded in the tables' logs.
const APPLICATION: &str = "settlement";
/// The milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// Why a settled batch is not in the lake yet. It is tried again.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The table could not be opened or made.
    #[error("could not open a table in the lake")]
    Open(#[source] Box<CreateTableError>),
    /// There is no such table in the lake's plan.
    #[error("there is no table `{0}`")]
    NoTable(&'static str),
    /// The rows could not be added.
    #[error("could not add to the lake")]
    Append(#[source] Box<AppendError>),
    /// The rows could not be made.
    #[error("could not make rows of batch {number}")]
    Rows {
        /// The batch.
        number: u64,
        /// The cause.
        #[source]
        source: ArrowError,
    },
    /// It is another batch than the chain has.
    #[error(transparent)]
    Other(#[from] Box<ChainError>),
}

/// The two tables that batches are archived to.
pub(crate) struct Tables {
    receipts: Table,
    settlements: Table,
}

impl Tables {
    pub(crate) async fn open(lake: &Lake) -> Result<Self, ArchiveError> {
        let open = async |name| {
            let definition = tables::definition(name).ok_or(ArchiveError::NoTable(name))?;
            let table = lake.create_table(definition).await;
            table.map_err(|error| ArchiveError::Open(Box::new(error)))
        };
        Ok(Self {
            receipts: open("receipts").await?,
            settlements: open("settlements").await?,
        })
    }

    /// The number of the last batch that is in both tables; 0 before the first.
    pub(crate) async fn last(&self) -> Result<u64, ArchiveError> {
        let mut last = u64::MAX;
        for table in [&self.receipts, &self.settlements] {
            let recorded = table.transaction(APPLICATION).await;
            let recorded = recorded.map_err(|error| ArchiveError::Append(Box::new(error)))?;
            last = last.min(recorded.map_or(0, i64::unsigned_abs));
        }
        Ok(last)
    }

    /// Adds a batch that is settled to both tables, each once.
    pub(crate) async fn add(
        &mut self,
        batch: &Batch,
        settled: &state::Batch,
        steps: &dyn Steps,
    ) -> Result<(), ArchiveError> {
        check(batch, settled).map_err(Box::new)?;
        let number = batch.header.batch;
        let rows = |source| ArchiveError::Rows { number, source };
        steps.before(Step::ArchiveReceipts).await;
        let receipts = receipt_rows(&self.receipts, batch).map_err(rows)?;
        append(&mut self.receipts, receipts, number).await?;
        steps.before(Step::ArchiveBatch).await;
        let row = batch_row(&self.settlements, batch, settled).map_err(rows)?;
        append(&mut self.settlements, row, number).await
    }
}

async fn append(table: &mut Table, rows: RecordBatch, number: u64) -> Result<(), ArchiveError> {
    let append = Append {
        batches: vec![rows],
        covers: None,
        transaction: Some(TransactionId {
            app_id: APPLICATION.to_owned(),
            version: signed(number),
        }),
    };
    let appended = table.append(append).await;
    match appended.map_err(|error| ArchiveError::Append(Box::new(error)))? {
        Appended::Committed { table: after, .. } | Appended::AlreadyThere { table: after } => {
            *table = after;
            Ok(())
        }
    }
}

fn receipt_rows(table: &Table, batch: &Batch) -> Result<RecordBatch, ArrowError> {
    // What a router has not signed is in no batch; see `collect`.
    let rows: Vec<(u64, &str, SignedReceipt)> = batch
        .places()
        .filter_map(|(place, line, signed)| Some((place, line, signed?)))
        .collect();
    type Row<'a> = (u64, &'a str, SignedReceipt);
    let text = |of: &dyn Fn(&Row<'_>) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
    };
    let long = |of: &dyn Fn(&Row<'_>) -> u64| -> ArrayRef {
        let values = rows.iter().map(|row| signed(of(row)));
        Arc::new(Int64Array::from_iter_values(values))
    };
    let amount = |of: &dyn Fn(&Row<'_>) -> Amount| -> Result<ArrayRef, ArrowError> {
        amounts(rows.iter().map(of))
    };
    let workers = |of: &dyn Fn(&Row<'_>) -> Vec<WorkerId>| -> ArrayRef {
        let element = Field::new("element", DataType::Utf8, false);
        let mut lists = ListBuilder::new(StringBuilder::new()).with_field(element);
        for row in &rows {
            lists.append_value(of(row).iter().map(|worker| Some(worker.to_string())));
        }
        Arc::new(lists.finish())
    };
    let days = rows.iter().map(|row| day(row.2.receipt.at_ms));
    let times = rows.iter().map(|row| signed(row.2.receipt.at_ms * 1_000));
    let refused = rows
        .iter()
        .map(|row| Some(batch.header.refused.contains(&row.0)));
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Date32Array::from_iter_values(days)),
        Arc::new(TimestampMicrosecondArray::from_iter_values(times).with_timezone("UTC")),
        long(&|_| batch.header.batch),
        long(&|row| row.0),
        text(&|row| row.2.receipt.router.to_string()),
        long(&|row| row.2.receipt.number),
        text(&|row| row.2.receipt.query.to_string()),
        text(&|row| row.2.receipt.client.to_string()),
        text(&|row| row.2.receipt.key.to_string()),
        text(&|row| row.2.receipt.class.to_string()),
        text(&|row| row.2.receipt.snapshot.to_string()),
        text(&|row| row.2.receipt.digest.to_string()),
        long(&|row| row.2.receipt.rows),
        amount(&|row| row.2.receipt.price)?,
        amount(&|row| row.2.receipt.charged)?,
        text(&|row| row.2.receipt.promise.name().to_owned()),
        long(&|row| row.2.receipt.latency_us),
        text(&|row| row.2.receipt.winner.to_string()),
        workers(&|row| row.2.receipt.verifiers.clone()),
        workers(&|row| row.2.receipt.dissenters.clone()),
        Arc::new(BooleanArray::from_iter(refused)),
        text(&|row| row.1.to_owned()),
    ];
    RecordBatch::try_new(table.schema(), columns)
}

fn batch_row(
    table: &Table,
    batch: &Batch,
    settled: &state::Batch,
) -> Result<RecordBatch, ArrowError> {
    let header = &batch.header;
    let seconds = u64::try_from(settled.settled_at).unwrap_or_default();
    let text = |value: String| -> ArrayRef { Arc::new(StringArray::from(vec![value])) };
    let long = |value: u64| -> ArrayRef { Arc::new(Int64Array::from(vec![signed(value)])) };
    let amount = |value: Amount| amounts(std::iter::once(value));
    let sum =
        |rewards: &[crate::Reward]| Amount(rewards.iter().map(|reward| reward.amount.0).sum());
    let time = TimestampMicrosecondArray::from(vec![signed(seconds * 1_000_000)]);
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Date32Array::from(vec![day(seconds * 1_000)])),
        Arc::new(time.with_timezone("UTC")),
        long(header.batch),
        text(header.network.to_string()),
        text(hex::encode(settled.root)),
        text(hex::encode(settled.file_hash)),
        long(u64::from(settled.leaves)),
        long(header.first_receipt),
        long(header.last_receipt),
        long(header.refused.len() as u64),
        amount(header.charged)?,
        amount(sum(&header.carried_in))?,
        amount(header.total)?,
        amount(sum(&header.carried_out))?,
    ];
    RecordBatch::try_new(table.schema(), columns)
}

fn amounts(values: impl Iterator<Item = Amount>) -> Result<ArrayRef, ArrowError> {
    let values = values.map(|amount| i128::from(amount.0));
    let amounts = Decimal128Array::from_iter_values(values).with_precision_and_scale(20, 0)?;
    Ok(Arc::new(amounts))
}

fn day(unix_ms: u64) -> i32 {
    i32::try_from(unix_ms / DAY_MS).unwrap_or(i32::MAX)
}

/// Delta has no unsigned integers.
fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
