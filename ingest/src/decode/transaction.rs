//! Transactions: their binary form, their plain JSON, and putting message and metadata together.

use super::{TransactionProblem, meta, meta::Meta, parsed};
use crate::block::{AccountKey, Header, Instruction, OuterInstruction, Transaction, Version};
use base64::{Engine, prelude::BASE64_STANDARD};
use solana_hash::Hash;
use solana_message::VersionedMessage;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction::versioned::{TransactionVersion, VersionedTransaction};
use solana_transaction_status_client_types::{self as ui, option_serializer::OptionSerializer};
use std::str::FromStr;

/// What was signed, but for the accounts from lookup tables.
pub(super) struct Message {
    pub(super) signatures: Vec<Signature>,
    pub(super) version: Version,
    pub(super) recent_blockhash: Hash,
    pub(super) header: Header,
    pub(super) static_keys: Vec<Pubkey>,
    /// How many accounts the message takes from lookup tables, writable and readonly.
    pub(super) lookups: (usize, usize),
    pub(super) instructions: Vec<Instruction>,
}

/// The accounts from lookup tables.
#[derive(Default)]
pub(super) struct Loaded {
    pub(super) writable: Vec<Pubkey>,
    pub(super) readonly: Vec<Pubkey>,
}

impl Message {
    /// Every account, once it is certain that none from a lookup table is missing.
    pub(super) fn account_keys(
        &self,
        loaded: &Loaded,
    ) -> Result<Vec<AccountKey>, TransactionProblem> {
        let (writable, readonly) = self.lookups;
        if (loaded.writable.len(), loaded.readonly.len()) != (writable, readonly) {
            return Err(TransactionProblem::LoadedAddresses {
                expected: writable.saturating_add(readonly),
                found: loaded.writable.len() + loaded.readonly.len(),
            });
        }
        Ok(self
            .header
            .account_keys(&self.static_keys, &loaded.writable, &loaded.readonly))
    }

    /// The transaction that the message and its metadata make.
    pub(super) fn assemble(
        self,
        account_keys: Vec<AccountKey>,
        loaded: &Loaded,
        inner: Vec<(u8, Vec<Instruction>)>,
        meta: Meta,
    ) -> Result<Transaction, TransactionProblem> {
        let outer = |mut instruction: Instruction| {
            instruction.stack_height = Some(1);
            OuterInstruction {
                instruction,
                inner: Vec::new(),
            }
        };
        let mut instructions: Vec<_> = self.instructions.into_iter().map(outer).collect();
        let count = instructions.len();
        for (index, calls) in inner {
            instructions
                .get_mut(usize::from(index))
                .ok_or(TransactionProblem::InnerInstructions { index, count })?
                .inner
                .extend(calls);
        }
        Ok(Transaction {
            signatures: self.signatures,
            version: self.version,
            recent_blockhash: self.recent_blockhash,
            account_keys,
            loaded_writable: loaded.writable.len(),
            loaded_readonly: loaded.readonly.len(),
            instructions,
            error: meta.error,
            fee: meta.fee,
            pre_balances: meta.pre_balances,
            post_balances: meta.post_balances,
            pre_token_balances: meta.pre_token_balances,
            post_token_balances: meta.post_token_balances,
            log_messages: meta.log_messages,
            compute_units_consumed: meta.compute_units_consumed,
        })
    }
}

/// Decodes one transaction of a `getBlock` answer.
pub(super) fn convert(
    encoded: ui::EncodedTransactionWithStatusMeta,
) -> Result<Transaction, TransactionProblem> {
    let mut node = encoded.meta.ok_or(TransactionProblem::NoMeta)?;
    let loaded = meta::loaded(&node)?;
    let version = encoded.version;
    let message = match encoded.transaction {
        ui::EncodedTransaction::Accounts(_) => return Err(TransactionProblem::AccountsOnly),
        ui::EncodedTransaction::LegacyBinary(text) => from_wire(&base58(&text)?)?,
        ui::EncodedTransaction::Binary(text, ui::TransactionBinaryEncoding::Base58) => {
            from_wire(&base58(&text)?)?
        }
        ui::EncodedTransaction::Binary(text, ui::TransactionBinaryEncoding::Base64) => {
            from_wire(&base64(&text)?)?
        }
        ui::EncodedTransaction::Json(ui::UiTransaction {
            signatures,
            message: ui::UiMessage::Raw(message),
        }) => from_raw(&signatures, message, version)?,
        ui::EncodedTransaction::Json(ui::UiTransaction {
            signatures,
            message: ui::UiMessage::Parsed(message),
        }) => parsed::message(&signatures, &message, version, &loaded)?,
    };
    let account_keys = message.account_keys(&loaded)?;
    let inner = std::mem::replace(&mut node.inner_instructions, OptionSerializer::None);
    let inner = Option::<Vec<ui::UiInnerInstructions>>::from(inner)
        .unwrap_or_default()
        .into_iter()
        .map(|group| {
            let calls = group.instructions.iter();
            let calls = calls.map(|call| parsed::inner_instruction(call, &account_keys));
            Ok((group.index, calls.collect::<Result<_, _>>()?))
        })
        .collect::<Result<_, TransactionProblem>>()?;
    let meta = meta::convert(node)?;
    message.assemble(account_keys, &loaded, inner, meta)
}

/// A transaction as it went over the wire.
fn from_wire(bytes: &[u8]) -> Result<Message, TransactionProblem> {
    let transaction: VersionedTransaction =
        bincode::deserialize(bytes).map_err(TransactionProblem::Wire)?;
    let message = transaction.message;
    let (version, lookups) = match &message {
        VersionedMessage::Legacy(_) => (Version::Legacy, (0, 0)),
        VersionedMessage::V0(message) => {
            let tables = &message.address_table_lookups;
            let writable = tables.iter().map(|table| table.writable_indexes.len());
            let readonly = tables.iter().map(|table| table.readonly_indexes.len());
            (Version::V0, (writable.sum(), readonly.sum()))
        }
    };
    let header = message.header();
    Ok(Message {
        signatures: transaction.signatures,
        version,
        recent_blockhash: *message.recent_blockhash(),
        header: Header {
            required_signatures: header.num_required_signatures.into(),
            readonly_signed: header.num_readonly_signed_accounts.into(),
            readonly_unsigned: header.num_readonly_unsigned_accounts.into(),
        },
        static_keys: message.static_account_keys().to_vec(),
        lookups,
        instructions: message
            .instructions()
            .iter()
            .map(|call| Instruction {
                program_id_index: call.program_id_index,
                accounts: call.accounts.clone(),
                data: call.data.clone(),
                stack_height: None,
            })
            .collect(),
    })
}

/// A transaction in encoding `json`.
fn from_raw(
    signatures: &[String],
    message: ui::UiRawMessage,
    version: Option<TransactionVersion>,
) -> Result<Message, TransactionProblem> {
    let tables = message.address_table_lookups;
    let header = message.header;
    Ok(Message {
        signatures: texts("signatures", signatures)?,
        version: version_of(version, tables.as_deref())?,
        recent_blockhash: text("recentBlockhash", &message.recent_blockhash)?,
        header: Header {
            required_signatures: header.num_required_signatures.into(),
            readonly_signed: header.num_readonly_signed_accounts.into(),
            readonly_unsigned: header.num_readonly_unsigned_accounts.into(),
        },
        static_keys: texts("accountKeys", &message.account_keys)?,
        lookups: lookups(tables.as_deref()),
        instructions: message
            .instructions
            .iter()
            .map(compiled)
            .collect::<Result<_, _>>()?,
    })
}

/// An instruction whose data the node left as it was.
pub(super) fn compiled(
    call: &ui::UiCompiledInstruction,
) -> Result<Instruction, TransactionProblem> {
    Ok(Instruction {
        program_id_index: call.program_id_index,
        accounts: call.accounts.clone(),
        data: base58(&call.data)?,
        stack_height: call.stack_height,
    })
}

/// The version, which old nodes do not tell.
pub(super) fn version_of(
    version: Option<TransactionVersion>,
    tables: Option<&[ui::UiAddressTableLookup]>,
) -> Result<Version, TransactionProblem> {
    match version {
        Some(TransactionVersion::Legacy(_)) => Ok(Version::Legacy),
        Some(TransactionVersion::Number(0)) => Ok(Version::V0),
        Some(TransactionVersion::Number(other)) => Err(TransactionProblem::Version(other)),
        None if tables.is_some() => Ok(Version::V0),
        None => Ok(Version::Legacy),
    }
}

/// How many accounts the tables give, writable and readonly.
pub(super) fn lookups(tables: Option<&[ui::UiAddressTableLookup]>) -> (usize, usize) {
    let tables = tables.unwrap_or_default().iter();
    let writable = tables.clone().map(|table| table.writable_indexes.len());
    let readonly = tables.map(|table| table.readonly_indexes.len());
    (writable.sum(), readonly.sum())
}

pub(super) fn base58(text: &str) -> Result<Vec<u8>, TransactionProblem> {
    bs58::decode(text)
        .into_vec()
        .map_err(|source| TransactionProblem::Encoding {
            encoding: "base58",
            source: source.into(),
        })
}

fn base64(text: &str) -> Result<Vec<u8>, TransactionProblem> {
    BASE64_STANDARD
        .decode(text)
        .map_err(|source| TransactionProblem::Encoding {
            encoding: "base64",
            source: source.into(),
        })
}

/// Reads a text.
pub(super) fn text<T: FromStr>(field: &'static str, text: &str) -> Result<T, TransactionProblem> {
    text.parse().map_err(|_| {
        let value = text.to_owned();
        TransactionProblem::Field { field, value }
    })
}

/// Reads texts.
pub(super) fn texts<T: FromStr>(
    field: &'static str,
    all: &[String],
) -> Result<Vec<T>, TransactionProblem> {
    all.iter().map(|one| text(field, one)).collect()
}
