//! Restoring what encoding `jsonParsed` took apart.
//!
//! The node shows instructions of some programs by the meaning of their fields and leaves out their
//! data and their list of accounts. The fields are put together again here. They do not always say
//! all: a memo's accounts are gone, and so is an account too many. Therefore the whole message is
//! put together too, in each form that the fields allow, until the transaction's signature is right
//! for one of them. Inner instructions are not signed; where their fields allow several forms, that
//! is an error.

mod associated_token;
mod info;
mod memo;
mod signed;
mod stake;
mod system;
mod token;
mod vote;

#[cfg(test)]
mod tests;

use super::{
    TransactionProblem,
    transaction::{self, Loaded, Message, base58, text, texts},
};
use crate::block::{AccountKey, Header, Instruction};
use info::Info;
use signed::Draft;
use solana_pubkey::Pubkey;
use solana_transaction::versioned::TransactionVersion;
use solana_transaction_status_client_types as ui;

/// Data and accounts of an instruction, as its fields allow them.
struct Form {
    data: Vec<u8>,
    accounts: Vec<Pubkey>,
}

/// The forms that an instruction may have had.
struct Forms {
    /// The likeliest first; never empty.
    forms: Vec<Form>,
    /// Whether an inner instruction is sure to have had the first form: programs write only that,
    /// and the others come from clients.
    sure_if_inner: bool,
}

impl Forms {
    fn one(data: Vec<u8>, accounts: Vec<Pubkey>) -> Self {
        Self {
            forms: vec![Form { data, accounts }],
            sure_if_inner: true,
        }
    }
}

/// An outer instruction in each form it may have had.
type Candidates = Vec<Instruction>;

/// Reads a message in encoding `jsonParsed`.
pub(super) fn message(
    signatures: &[String],
    message: &ui::UiParsedMessage,
    version: Option<TransactionVersion>,
    loaded: &Loaded,
) -> Result<Message, TransactionProblem> {
    let tables = message.address_table_lookups.as_deref();
    let lookups = transaction::lookups(tables);
    let keys = account_keys(&message.account_keys)?;
    let count = loaded.writable.len() + loaded.readonly.len();
    let split = keys.len().checked_sub(count);
    let split = split.filter(|&split| {
        let resolved = loaded.writable.iter().chain(&loaded.readonly);
        keys[split..].iter().map(|key| &key.pubkey).eq(resolved)
    });
    let Some(split) = split else {
        return Err(TransactionProblem::LoadedAddresses {
            expected: lookups.0.saturating_add(lookups.1),
            found: count,
        });
    };
    let mut restored = Vec::new();
    let candidates = message
        .instructions
        .iter()
        .map(|call| candidates(call, &keys, &mut restored))
        .collect::<Result<Vec<Candidates>, _>>()?;
    let message = Message {
        signatures: texts("signatures", signatures)?,
        version: transaction::version_of(version, tables)?,
        recent_blockhash: text("recentBlockhash", &message.recent_blockhash)?,
        header: header(&keys[..split]),
        static_keys: keys[..split].iter().map(|key| key.pubkey).collect(),
        lookups,
        instructions: Vec::new(),
    };
    let draft = Draft {
        message,
        tables: tables.unwrap_or_default(),
    };
    draft
        .settle(&candidates)?
        .ok_or_else(|| TransactionProblem::NotAsSigned {
            instructions: restored.join(", "),
        })
}

/// Reads an inner instruction in any JSON encoding.
pub(super) fn inner_instruction(
    call: &ui::UiInstruction,
    keys: &[AccountKey],
) -> Result<Instruction, TransactionProblem> {
    let parsed = match call {
        ui::UiInstruction::Compiled(call) => return transaction::compiled(call),
        ui::UiInstruction::Parsed(ui::UiParsedInstruction::PartiallyDecoded(call)) => {
            return partially_decoded(call, keys);
        }
        ui::UiInstruction::Parsed(ui::UiParsedInstruction::Parsed(parsed)) => parsed,
    };
    let info = Info::new(parsed);
    let mut forms = restore(&info)?;
    if !forms.sure_if_inner {
        return Err(info.problem(
            "it may have had several forms, and no signature tells which of an inner instruction",
        ));
    }
    let form = forms.forms.swap_remove(0);
    locate(&parsed.program_id, form, parsed.stack_height, keys)
}

fn candidates(
    call: &ui::UiInstruction,
    keys: &[AccountKey],
    restored: &mut Vec<String>,
) -> Result<Candidates, TransactionProblem> {
    let parsed = match call {
        ui::UiInstruction::Compiled(call) => return Ok(vec![transaction::compiled(call)?]),
        ui::UiInstruction::Parsed(ui::UiParsedInstruction::PartiallyDecoded(call)) => {
            return Ok(vec![partially_decoded(call, keys)?]);
        }
        ui::UiInstruction::Parsed(ui::UiParsedInstruction::Parsed(parsed)) => parsed,
    };
    let info = Info::new(parsed);
    restored.push(format!("{} {}", info.program, info.kind));
    let mut forms = restore(&info)?.forms;
    if info.program == memo::PROGRAM {
        forms.extend(memo::signed_by(&info, keys)?);
    }
    let mut located = forms
        .into_iter()
        .map(|form| locate(&parsed.program_id, form, None, keys));
    // The likeliest form has to be possible; another may name an account that is not there.
    let likeliest = located.next().transpose()?;
    Ok(likeliest.into_iter().chain(located.flatten()).collect())
}

fn restore(info: &Info<'_>) -> Result<Forms, TransactionProblem> {
    match info.program {
        vote::PROGRAM => vote::restore(info),
        system::PROGRAM => system::restore(info),
        token::PROGRAM => token::restore(info),
        associated_token::PROGRAM => associated_token::restore(info),
        memo::PROGRAM => memo::restore(info),
        stake::PROGRAM => stake::restore(info),
        _ => Err(info.problem("its program is not among those that can be restored")),
    }
}

fn partially_decoded(
    call: &ui::UiPartiallyDecodedInstruction,
    keys: &[AccountKey],
) -> Result<Instruction, TransactionProblem> {
    let form = Form {
        data: base58(&call.data)?,
        accounts: texts("instructions.accounts", &call.accounts)?,
    };
    locate(&call.program_id, form, call.stack_height, keys)
}

/// Replaces addresses by their positions among the account keys.
fn locate(
    program_id: &str,
    form: Form,
    stack_height: Option<u32>,
    keys: &[AccountKey],
) -> Result<Instruction, TransactionProblem> {
    let position = |address: &Pubkey| {
        let found = keys.iter().position(|key| key.pubkey == *address);
        let position = found.and_then(|position| u8::try_from(position).ok());
        position.ok_or_else(|| TransactionProblem::Field {
            field: "instructions.accounts",
            value: address.to_string(),
        })
    };
    Ok(Instruction {
        program_id_index: position(&text("instructions.programId", program_id)?)?,
        accounts: form
            .accounts
            .iter()
            .map(position)
            .collect::<Result<_, _>>()?,
        data: form.data,
        stack_height,
    })
}

fn account_keys(keys: &[ui::ParsedAccount]) -> Result<Vec<AccountKey>, TransactionProblem> {
    let keys = keys.iter().map(|key| {
        Ok(AccountKey {
            pubkey: text("accountKeys", &key.pubkey)?,
            is_signer: key.signer,
            is_writable: key.writable,
        })
    });
    keys.collect()
}

/// The header that gave the static keys their flags. The node shows some accounts that the message
/// asks to write as readonly, namely programs and sysvars; those before a writable one are seen
/// through here, those after it when the signature is checked.
fn header(keys: &[AccountKey]) -> Header {
    let required_signatures = keys.iter().take_while(|key| key.is_signer).count();
    let (signers, others) = keys.split_at(required_signatures);
    let readonly =
        |keys: &[AccountKey]| keys.iter().rev().take_while(|key| !key.is_writable).count();
    Header {
        required_signatures,
        readonly_signed: readonly(signers),
        readonly_unsigned: readonly(others),
    }
}
