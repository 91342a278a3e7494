//! Swaps from transactions that someone else has decoded.
//!
//! The format is that of [whirlpool-tx-replayer]: JSON lines, a block each, in the order of slots,
//! with the instructions of one program decoded. Only what the table `swaps` needs is looked at.
//!
//! [whirlpool-tx-replayer]: https://github.com/orca-so/whirlpool-tx-replayer

use arrow::{
    array::{
        ArrayRef, BooleanArray, Date32Array, Decimal128Array, Int32Array, Int64Array, RecordBatch,
        StringArray, TimestampMicrosecondArray,
    },
    datatypes::DataType,
    error::ArrowError,
};
use serde::Deserialize;
use std::{
    fmt,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    sync::Arc,
};
use streamsync_core::Slot;
use streamsync_lake::{
    Append, AppendError, Appended, CoverageError, CreateTableError, Lake, SlotSet, Table, tables,
};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

const TABLE: &str = "swaps";
/// The blocks of one commit.
const BLOCKS: usize = 20_000;
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The longest line that is read, in bytes.
const MOST_BYTES: u64 = 64 << 20;
const SECONDS_A_DAY: i64 = 86_400;
const MICROS_A_SECOND: i64 = 1_000_000;

/// What was ingested.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct DecodedReport {
    /// Blocks that the lake did not have.
    pub blocks: u64,
    /// Their swaps.
    pub swaps: u64,
    /// Blocks that the lake had already.
    pub already_there: u64,
    /// Whether it was stopped before the file ended.
    pub stopped: bool,
}

impl fmt::Display for DecodedReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { blocks, swaps, .. } = self;
        write!(formatter, "{swaps} swaps of {blocks} blocks")?;
        if self.already_there > 0 {
            write!(formatter, ", {} were there already", self.already_there)?;
        }
        if self.stopped {
            write!(formatter, "; stopped before its end")?;
        }
        Ok(())
    }
}

/// Why decoded transactions could not be ingested. What was committed before stays, and the next
/// ingest of the same file goes on from there.
#[derive(Debug, thiserror::Error)]
pub enum DecodedError {
    /// The file could not be read.
    #[error("could not read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// A line is not a block.
    #[error("could not understand line {line} of {}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1 on.
        line: usize,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A swap is not decoded as expected.
    #[error("could not understand a swap of transaction {signature}")]
    Swap {
        /// The transaction.
        signature: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// Something in a block is too large for its column.
    #[error("a number of slot {0} is too large for its column")]
    TooLarge(u64),
    /// The table could not be created.
    #[error(transparent)]
    Create(#[from] Box<CreateTableError>),
    /// What the table has could not be read.
    #[error(transparent)]
    Coverage(#[from] CoverageError),
    /// The rows do not fit the table.
    #[error("could not make rows of swaps")]
    Rows(#[from] ArrowError),
    /// The rows could not be appended.
    #[error("could not append swaps; ingest the file again to go on")]
    Append(#[from] Box<AppendError>),
    /// The thread that reads ended early.
    #[error("reading was broken off")]
    BrokenOff(#[from] tokio::task::JoinError),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Block {
    slot: u64,
    block_time: i64,
    transactions: Vec<Transaction>,
}

#[derive(Deserialize)]
struct Transaction {
    index: i32,
    signature: String,
    instructions: Vec<Instruction>,
}

#[derive(Deserialize)]
struct Instruction {
    name: String,
    payload: serde_json::Value,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Swap {
    #[serde(rename = "dataAToB")]
    a_to_b: u8,
    key_whirlpool: String,
    key_token_authority: String,
    key_vault_a: String,
    key_vault_b: String,
    /// What went in, in base units.
    transfer_amount0: String,
    /// What came out.
    transfer_amount1: String,
}

/// Ingests the swaps of a file, exactly once however often that is repeated or interrupted.
pub async fn ingest(
    path: &Path,
    lake: &Lake,
    stop: &CancellationToken,
) -> Result<DecodedReport, DecodedError> {
    let mut report = DecodedReport::default();
    let Some(definition) = tables::definition(TABLE) else {
        return Ok(report);
    };
    let mut table = lake.create_table(definition).await.map_err(Box::new)?;
    let mut covered: SlotSet = table.coverage().await?;
    let (sender, mut receiver) = mpsc::channel(1);
    let reading = {
        let path = path.to_owned();
        tokio::task::spawn_blocking(move || read(&path, &sender))
    };
    loop {
        let blocks = tokio::select! {
            biased;
            () = stop.cancelled() => {
                report.stopped = true;
                break;
            }
            blocks = receiver.recv() => blocks,
        };
        let Some(mut blocks) = blocks else {
            break;
        };
        let read = blocks.len();
        blocks.retain(|block| !covered.contains(Slot(block.slot)));
        report.already_there += (read - blocks.len()) as u64;
        if blocks.is_empty() {
            continue;
        }
        let slots: SlotSet = blocks.iter().map(|block| Slot(block.slot)).collect();
        let rows = rows(&table, &blocks)?;
        let swaps = rows.num_rows() as u64;
        let append = Append {
            batches: vec![rows],
            covers: Some(slots.clone()),
            transaction: None,
        };
        match table.append(append).await.map_err(Box::new)? {
            Appended::Committed { table: after, .. } => {
                table = after;
                report.blocks += blocks.len() as u64;
                report.swaps += swaps;
            }
            Appended::AlreadyThere { table: newest } => {
                table = newest;
                report.already_there += blocks.len() as u64;
            }
        }
        covered = covered.union(&slots);
    }
    drop(receiver);
    reading.await??;
    Ok(report)
}

/// Hands over the blocks of a file, many at a time, until nobody takes them.
fn read(path: &Path, sender: &mpsc::Sender<Vec<Block>>) -> Result<(), DecodedError> {
    let failed = |source| DecodedError::Read {
        path: path.to_owned(),
        source,
    };
    let mut file = BufReader::new(File::open(path).map_err(failed)?);
    let packed = file.fill_buf().map_err(failed)?.starts_with(&GZIP);
    let mut lines: Box<dyn BufRead> = if packed {
        Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(file)))
    } else {
        Box::new(file)
    };
    let (mut blocks, mut text) = (Vec::new(), Vec::new());
    for line in 1.. {
        text.clear();
        let mut limited = lines.by_ref().take(MOST_BYTES);
        let length = limited.read_until(b'\n', &mut text).map_err(failed)?;
        if length == 0 {
            break;
        }
        if text.trim_ascii().is_empty() {
            continue;
        }
        let block = serde_json::from_slice(&text).map_err(|source| DecodedError::Line {
            path: path.to_owned(),
            line,
            source,
        })?;
        blocks.push(block);
        if blocks.len() == BLOCKS && sender.blocking_send(std::mem::take(&mut blocks)).is_err() {
            return Ok(());
        }
    }
    // Nobody takes them any more when it was stopped.
    let _ = sender.blocking_send(blocks);
    Ok(())
}

/// A swap and where it was.
struct Row<'a> {
    block: &'a Block,
    transaction: &'a Transaction,
    index: i32,
    swap: Swap,
    amount_a: i128,
    amount_b: i128,
}

fn rows(table: &Table, blocks: &[Block]) -> Result<RecordBatch, DecodedError> {
    let mut rows = Vec::new();
    for block in blocks {
        for transaction in &block.transactions {
            let swaps = transaction
                .instructions
                .iter()
                .filter(|one| one.name == "swap");
            for (index, instruction) in (0..).zip(swaps) {
                rows.push(row(block, transaction, index, instruction)?);
            }
        }
    }
    let text = |of: &dyn Fn(&Row<'_>) -> String| -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(of)))
    };
    let amounts = |of: &dyn Fn(&Row<'_>) -> i128| -> ArrayRef {
        let amounts = Decimal128Array::from_iter_values(rows.iter().map(of));
        Arc::new(amounts.with_data_type(DataType::Decimal128(20, 0)))
    };
    let mut columns = (Vec::new(), Vec::new(), Vec::new());
    for row in &rows {
        let too_large = || DecodedError::TooLarge(row.block.slot);
        let time = row.block.block_time;
        let day = i32::try_from(time.div_euclid(SECONDS_A_DAY)).map_err(|_| too_large())?;
        columns.0.push(day);
        columns
            .1
            .push(i64::try_from(row.block.slot).map_err(|_| too_large())?);
        columns
            .2
            .push(time.checked_mul(MICROS_A_SECOND).ok_or_else(too_large)?);
    }
    let (days, slots, times) = columns;
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Date32Array::from(days)),
        Arc::new(Int64Array::from(slots)),
        Arc::new(TimestampMicrosecondArray::from(times).with_timezone("UTC")),
        Arc::new(Int32Array::from_iter_values(
            rows.iter().map(|row| row.transaction.index),
        )),
        Arc::new(Int32Array::from_iter_values(
            rows.iter().map(|row| row.index),
        )),
        text(&|row| row.transaction.signature.clone()),
        text(&|row| row.swap.key_whirlpool.clone()),
        text(&|row| row.swap.key_token_authority.clone()),
        text(&|row| row.swap.key_vault_a.clone()),
        text(&|row| row.swap.key_vault_b.clone()),
        Arc::new(
            rows.iter()
                .map(|row| Some(row.swap.a_to_b != 0))
                .collect::<BooleanArray>(),
        ),
        amounts(&|row| row.amount_a),
        amounts(&|row| row.amount_b),
    ];
    Ok(RecordBatch::try_new(table.schema(), columns)?)
}

fn row<'a>(
    block: &'a Block,
    transaction: &'a Transaction,
    index: i32,
    instruction: &Instruction,
) -> Result<Row<'a>, DecodedError> {
    let malformed = |source| DecodedError::Swap {
        signature: transaction.signature.clone(),
        source,
    };
    let swap = Swap::deserialize(&instruction.payload).map_err(malformed)?;
    let amount = |text: &str| {
        let amount: u64 = text
            .parse()
            .map_err(|_| DecodedError::TooLarge(block.slot))?;
        Ok::<_, DecodedError>(i128::from(amount))
    };
    let (input, output) = (
        amount(&swap.transfer_amount0)?,
        amount(&swap.transfer_amount1)?,
    );
    let (amount_a, amount_b) = match swap.a_to_b {
        0 => (output, input),
        _ => (input, output),
    };
    Ok(Row {
        block,
        transaction,
        index,
        swap,
        amount_a,
        amount_b,
    })
}
