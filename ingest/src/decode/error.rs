//! Why a block could not be decoded.

use crate::block::InvalidTransaction;
use streamsync_core::Slot;

/// Why the bytes are not a block that the lake can hold.
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    /// There was nothing, or only blanks.
    #[error("the recording is empty")]
    Empty,
    /// The compressed data is damaged or cut short.
    #[error("could not unpack the {format} data: it is damaged or cut short")]
    Compression {
        /// `gzip` or `zstd`.
        format: &'static str,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// It is larger than any block.
    #[error("the recording has more than {limit} bytes, which no block has")]
    TooLarge {
        /// The most that is read.
        limit: u64,
    },
    /// It begins as JSON, but is no JSON, or not that of a block.
    #[error("could not read the JSON of a block: it is damaged, cut short or not of `getBlock`")]
    Json(#[source] serde_json::Error),
    /// It is not protobuf, or not that of a block.
    #[error("could not read a protobuf ConfirmedBlock: it is damaged, cut short or something else")]
    Protobuf(#[source] prost::DecodeError),
    /// Nothing says which slot this is.
    #[error(
        "nothing says which slot the block is of: put the slot into the file's name, as in \
         `254170887.json`, wrap the block as {{\"slot\": …, \"block\": …}}, or give the slot"
    )]
    NoSlot,
    /// Two slots are claimed.
    #[error("the recording says that it is of slot {said}, not {expected}")]
    OtherSlot {
        /// The slot that was asked for.
        expected: Slot,
        /// The slot in the wrapper.
        said: Slot,
    },
    /// A JSON-RPC error was recorded in place of a block.
    #[error("in place of a block there is the JSON-RPC error {code}: {message}")]
    RpcError {
        /// The code.
        code: i64,
        /// The text.
        message: String,
    },
    /// There is a wrapper without a block in it.
    #[error("there is no block in the recording: it is null, or not a `getBlock` result")]
    NoBlock,
    /// The block was recorded without its transactions.
    #[error(
        "the block of slot {slot} has no whole transactions: it was asked for with \
         `transactionDetails` other than `full`; ask for `full`"
    )]
    Details {
        /// The slot.
        slot: Slot,
    },
    /// The block claims a parent that is not before it.
    #[error(
        "the block of slot {slot} says that its parent is slot {parent}, which is not before it"
    )]
    Parent {
        /// The slot.
        slot: Slot,
        /// The slot of the parent.
        parent: Slot,
    },
    /// A field of the block itself is wrong.
    #[error("could not read `{field}` of the block of slot {slot}: `{value}`")]
    Field {
        /// The slot.
        slot: Slot,
        /// The field.
        field: &'static str,
        /// What it said.
        value: String,
    },
    /// A transaction is wrong.
    #[error("could not decode transaction {index} of slot {slot}")]
    Transaction {
        /// The slot.
        slot: Slot,
        /// The position of the transaction in the block, from 0.
        index: usize,
        /// The cause.
        #[source]
        problem: Box<TransactionProblem>,
    },
}

impl DecodeError {
    pub(super) fn transaction(
        slot: Slot,
        index: usize,
        problem: impl Into<TransactionProblem>,
    ) -> Self {
        let problem = Box::new(problem.into());
        Self::Transaction {
            slot,
            index,
            problem,
        }
    }
}

/// What is wrong with a transaction.
#[derive(Debug, thiserror::Error)]
pub enum TransactionProblem {
    /// Nothing says what became of the transaction.
    #[error("it has no metadata: nothing says what became of it")]
    NoMeta,
    /// It was recorded without its instructions.
    #[error("only its accounts were recorded: ask for `transactionDetails` `full`")]
    AccountsOnly,
    /// The binary form is not valid base58 or base64.
    #[error("its binary form is not valid {encoding}")]
    Encoding {
        /// `base58` or `base64`.
        encoding: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The binary form is not a transaction.
    #[error("its binary form is not a transaction")]
    Wire(#[source] bincode::Error),
    /// A version of the message that came after 0.
    #[error("it has version {0}, which is not known: only legacy and 0 are")]
    Version(u8),
    /// A text or a number is not what the field holds.
    #[error("its `{field}` is wrong: `{value}`")]
    Field {
        /// The field.
        field: &'static str,
        /// What it said.
        value: String,
    },
    /// The error was recorded in a form that is not known.
    #[error("its error is not a TransactionError")]
    Error(#[source] bincode::Error),
    /// It uses lookup tables, but what they gave was not recorded.
    #[error(
        "it takes {expected} accounts from lookup tables, but {found} were recorded in \
         `loadedAddresses`: ask for the block with `maxSupportedTransactionVersion` 0"
    )]
    LoadedAddresses {
        /// How many accounts the message takes.
        expected: usize,
        /// How many were recorded.
        found: usize,
    },
    /// Inner instructions of an outer one that is not there.
    #[error("it has inner instructions of instruction {index}, but {count} instructions")]
    InnerInstructions {
        /// The position of the outer instruction.
        index: u8,
        /// The number of outer instructions.
        count: usize,
    },
    /// The node took an instruction apart in a way that cannot be undone.
    #[error(
        "the `{kind}` instruction of program `{program}` cannot be restored from `jsonParsed`: \
         {reason}; ask for the block with encoding `base64`"
    )]
    NotRestorable {
        /// The program, as the node names it.
        program: String,
        /// The type of the instruction, as the node names it.
        kind: String,
        /// What stands in the way.
        reason: String,
    },
    /// What was restored is not what was signed.
    #[error(
        "what was restored from `jsonParsed` is not what was signed, so the node has left \
         something out of the {instructions} instructions; ask for the block with encoding `base64`"
    )]
    NotAsSigned {
        /// Program and type of every instruction that was restored.
        instructions: String,
    },
    /// Its parts do not fit together.
    #[error(transparent)]
    Invalid(#[from] InvalidTransaction),
}
