//! From a block to the rows of every table.

mod account_transactions;
mod balances;
mod blocks;
mod column;
mod instructions;
mod log_messages;
mod rewards;
mod signatures;
mod token_balances;
mod transactions;

use crate::Block;
use arrow::{array::ArrayRef, error::ArrowError, record_batch::RecordBatch};
use streamsync_core::Slot;
use streamsync_lake::tables;

/// The most accounts that all instructions of a block together may name; real blocks stay a
/// hundredfold below.
const MAX_INSTRUCTION_ACCOUNTS: usize = 1 << 24;

/// The rows of one block.
#[derive(Clone, Debug)]
pub struct BlockRows {
    /// The block's slot.
    pub slot: Slot,
    /// The slot of the block before it.
    pub parent_slot: Slot,
    /// One batch for each of [`tables::definitions`], in their order.
    pub batches: Vec<RecordBatch>,
}

impl BlockRows {
    /// Builds the rows of every table.
    pub fn build(block: &Block) -> Result<Self, RowsError> {
        let calls = block.transactions.iter().flat_map(|transaction| {
            let outers = transaction.instructions.iter();
            outers.flat_map(|outer| std::iter::once(&outer.instruction).chain(&outer.inner))
        });
        let accounts: usize = calls.map(|call| call.accounts.len()).sum();
        if accounts > MAX_INSTRUCTION_ACCOUNTS {
            let slot = block.slot;
            return Err(RowsError::TooManyAccounts { slot, accounts });
        }
        let batches = tables::chain().iter().map(|definition| {
            let columns = columns(definition.name, block)?;
            RecordBatch::try_new(definition.schema.clone(), columns).map_err(|source| {
                RowsError::Schema {
                    slot: block.slot,
                    table: definition.name,
                    source,
                }
            })
        });
        Ok(Self {
            slot: block.slot,
            parent_slot: block.parent_slot,
            batches: batches.collect::<Result<_, _>>()?,
        })
    }

    /// The number of rows in all tables.
    pub fn rows(&self) -> u64 {
        self.batches.iter().map(|rows| rows.num_rows() as u64).sum()
    }

    /// The memory that the rows take, in bytes.
    pub fn bytes(&self) -> u64 {
        let batches = self.batches.iter();
        batches
            .map(|rows| rows.get_array_memory_size() as u64)
            .sum()
    }
}

fn columns(table: &'static str, block: &Block) -> Result<Vec<ArrayRef>, RowsError> {
    match table {
        "transactions" => transactions::columns(block),
        "instructions" => instructions::columns(block),
        "token_balances" => token_balances::columns(block),
        "balances" => balances::columns(block),
        "log_messages" => log_messages::columns(block),
        "rewards" => rewards::columns(block),
        "signatures" => signatures::columns(block),
        "account_transactions" => account_transactions::columns(block),
        "blocks" => blocks::columns(block),
        table => Err(RowsError::UnknownTable { table }),
    }
}

/// Why a block has no rows.
#[derive(Debug, thiserror::Error)]
pub enum RowsError {
    /// A number is too large for its column.
    #[error("`{column}` of slot {slot} is {value}, which is too large for a signed 64-bit column")]
    Overflow {
        /// The slot.
        slot: Slot,
        /// The column.
        column: &'static str,
        /// The number.
        value: i128,
    },
    /// No real block has so many.
    #[error("the instructions of slot {slot} name {accounts} accounts, more than any block can")]
    TooManyAccounts {
        /// The slot.
        slot: Slot,
        /// How many.
        accounts: usize,
    },
    /// The lake has a table that this version knows no rows for.
    #[error("there is nothing to fill table `{table}` with")]
    UnknownTable {
        /// The table.
        table: &'static str,
    },
    /// The rows do not fit the table's columns.
    #[error("the rows of slot {slot} do not fit the columns of table `{table}`")]
    Schema {
        /// The slot.
        slot: Slot,
        /// The table.
        table: &'static str,
        /// The cause.
        #[source]
        source: ArrowError,
    },
}
