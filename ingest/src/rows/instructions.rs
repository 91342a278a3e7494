//! Rows of `instructions`.

use super::{
    RowsError,
    column::{integer, integers, place, push, push_optional, text_lists},
};
use crate::{Block, Instruction, Transaction};
use arrow::array::{
    ArrayRef, BinaryBuilder, BooleanBuilder, Int32Builder, ListBuilder, StringBuilder,
};
use std::{
    fmt::{self, Display, Formatter},
    sync::Arc,
};

/// How many bytes of the data make the discriminator.
const DISCRIMINATOR: usize = 8;

/// The columns that differ from instruction to instruction.
struct Columns {
    indexes: Vec<i32>,
    addresses: StringBuilder,
    heights: Int32Builder,
    programs: StringBuilder,
    discriminators: StringBuilder,
    accounts: ListBuilder<StringBuilder>,
    data: BinaryBuilder,
    votes: BooleanBuilder,
    successes: BooleanBuilder,
}

/// The transaction that an instruction is part of.
struct Within<'a> {
    block: &'a Block,
    transaction: &'a Transaction,
    index: i32,
    is_vote: bool,
}

pub(super) fn columns(block: &Block) -> Result<Vec<ArrayRef>, RowsError> {
    let mut columns = Columns {
        indexes: Vec::new(),
        addresses: StringBuilder::new(),
        heights: Int32Builder::new(),
        programs: StringBuilder::new(),
        discriminators: StringBuilder::new(),
        accounts: text_lists(),
        data: BinaryBuilder::new(),
        votes: BooleanBuilder::new(),
        successes: BooleanBuilder::new(),
    };
    for (index, transaction) in block.transactions.iter().enumerate() {
        let within = Within {
            block,
            transaction,
            index: integer(block, "transaction_index", index)?,
            is_vote: transaction.is_vote(),
        };
        for (position, outer) in transaction.instructions.iter().enumerate() {
            columns.push(&within, &outer.instruction, format_args!("{position}"))?;
            for (call, inner) in outer.inner.iter().enumerate() {
                columns.push(&within, inner, format_args!("{position}.{call}"))?;
            }
        }
    }
    let [date, slot, time] = place(block, columns.indexes.len())?;
    Ok(vec![
        date,
        slot,
        time,
        integers(columns.indexes),
        Arc::new(columns.addresses.finish()),
        Arc::new(columns.heights.finish()),
        Arc::new(columns.programs.finish()),
        Arc::new(columns.discriminators.finish()),
        Arc::new(columns.accounts.finish()),
        Arc::new(columns.data.finish()),
        Arc::new(columns.votes.finish()),
        Arc::new(columns.successes.finish()),
    ])
}

impl Columns {
    fn push(
        &mut self,
        within: &Within<'_>,
        instruction: &Instruction,
        address: impl Display,
    ) -> Result<(), RowsError> {
        let key = |position: &u8| {
            let keys = &within.transaction.account_keys;
            keys.get(usize::from(*position)).map(|key| key.pubkey)
        };
        let height = instruction.stack_height.map(|height| height as usize);
        let height = height.map(|height| integer(within.block, "stack_height", height));
        self.indexes.push(within.index);
        push(&mut self.addresses, address);
        self.heights.append_option(height.transpose()?);
        push_optional(&mut self.programs, key(&instruction.program_id_index));
        push(&mut self.discriminators, Hex::start(&instruction.data));
        for account in instruction.accounts.iter().map(key) {
            push_optional(self.accounts.values(), account);
        }
        self.accounts.append(true);
        self.data.append_value(&instruction.data);
        self.votes.append_value(within.is_vote);
        self.successes
            .append_value(within.transaction.error.is_none());
        Ok(())
    }
}

/// Bytes in hexadecimal.
struct Hex<'a>(&'a [u8]);

impl<'a> Hex<'a> {
    fn start(data: &'a [u8]) -> Self {
        Self(&data[..data.len().min(DISCRIMINATOR)])
    }
}

impl Display for Hex<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}
