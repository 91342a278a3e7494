//! Finding the message that was signed among those that may have been.

use super::Candidates;
use crate::{
    block::{Header, Version},
    decode::{
        TransactionProblem,
        transaction::{Message, text},
    },
};
use ed25519_dalek::VerifyingKey;
use solana_message::{
    MessageHeader, VersionedMessage, compiled_instruction::CompiledInstruction, legacy, v0,
};
use solana_transaction_status_client_types::UiAddressTableLookup;

/// The most messages that are tried for one transaction.
const MAX_TRIES: usize = 512;

/// A message without its instructions.
pub(super) struct Draft<'a> {
    pub(super) message: Message,
    pub(super) tables: &'a [UiAddressTableLookup],
}

impl Draft<'_> {
    /// The message with that choice among the candidates, and that header, for which the first
    /// signature is right; `None` if it is for none.
    pub(super) fn settle(
        mut self,
        candidates: &[Candidates],
    ) -> Result<Option<Message>, TransactionProblem> {
        let tables = self.tables()?;
        let shown = self.message.header;
        // The node shows the last of the writable keys as readonly if they are programs or sysvars.
        let headers = (0..=shown.readonly_unsigned)
            .rev()
            .map(|readonly_unsigned| Header {
                readonly_unsigned,
                ..shown
            });
        let tries = headers.flat_map(|header| Choices::new(candidates).map(move |at| (header, at)));
        for (header, choice) in tries.take(MAX_TRIES) {
            self.message.header = header;
            self.message.instructions = choice
                .iter()
                .zip(candidates)
                .filter_map(|(&at, forms)| forms.get(at).cloned())
                .collect();
            if self.is_signed(&tables) {
                return Ok(Some(self.message));
            }
        }
        Ok(None)
    }

    fn tables(&self) -> Result<Vec<v0::MessageAddressTableLookup>, TransactionProblem> {
        let tables = self.tables.iter().map(|table| {
            Ok(v0::MessageAddressTableLookup {
                account_key: text("addressTableLookups.accountKey", &table.account_key)?,
                writable_indexes: table.writable_indexes.clone(),
                readonly_indexes: table.readonly_indexes.clone(),
            })
        });
        tables.collect()
    }

    fn is_signed(&self, tables: &[v0::MessageAddressTableLookup]) -> bool {
        let message = &self.message;
        let (Some(payer), Some(signature)) =
            (message.static_keys.first(), message.signatures.first())
        else {
            return false;
        };
        let Some(bytes) = self.serialize(tables) else {
            return false;
        };
        let signature = ed25519_dalek::Signature::from_bytes(signature.as_array());
        VerifyingKey::from_bytes(payer.as_array())
            .is_ok_and(|key| key.verify_strict(&bytes, &signature).is_ok())
    }

    /// The bytes that would be signed; `None` if no message can be like this.
    fn serialize(&self, tables: &[v0::MessageAddressTableLookup]) -> Option<Vec<u8>> {
        let Message {
            header,
            static_keys,
            recent_blockhash,
            ..
        } = &self.message;
        let header = MessageHeader {
            num_required_signatures: header.required_signatures.try_into().ok()?,
            num_readonly_signed_accounts: header.readonly_signed.try_into().ok()?,
            num_readonly_unsigned_accounts: header.readonly_unsigned.try_into().ok()?,
        };
        let instructions = self.message.instructions.iter();
        let instructions = instructions.map(|call| CompiledInstruction {
            program_id_index: call.program_id_index,
            accounts: call.accounts.clone(),
            data: call.data.clone(),
        });
        let message = match self.message.version {
            Version::Legacy => VersionedMessage::Legacy(legacy::Message {
                header,
                account_keys: static_keys.clone(),
                recent_blockhash: *recent_blockhash,
                instructions: instructions.collect(),
            }),
            Version::V0 => VersionedMessage::V0(v0::Message {
                header,
                account_keys: static_keys.clone(),
                recent_blockhash: *recent_blockhash,
                instructions: instructions.collect(),
                address_table_lookups: tables.to_vec(),
            }),
        };
        bincode::serialize(&message).ok()
    }
}

/// Every way to choose one form of each instruction, the first of each first.
struct Choices {
    sizes: Vec<usize>,
    next: Option<Vec<usize>>,
}

impl Choices {
    fn new(candidates: &[Candidates]) -> Self {
        let sizes: Vec<_> = candidates.iter().map(Vec::len).collect();
        let first = vec![0; sizes.len()];
        Self {
            next: (!sizes.contains(&0)).then_some(first),
            sizes,
        }
    }
}

impl Iterator for Choices {
    type Item = Vec<usize>;

    fn next(&mut self) -> Option<Vec<usize>> {
        let current = self.next.take()?;
        let mut following = current.clone();
        for (at, &size) in following.iter_mut().zip(&self.sizes) {
            *at += 1;
            if *at < size {
                self.next = Some(following);
                break;
            }
            *at = 0;
        }
        Some(current)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Instruction;

    #[test]
    fn every_choice_comes_once() {
        let candidates = [2, 1, 3].map(|forms| vec![Instruction::default(); forms]);
        let mut choices: Vec<_> = Choices::new(&candidates).collect();
        assert_eq!(choices.first(), Some(&vec![0, 0, 0]));
        choices.sort();
        choices.dedup();
        assert_eq!(choices.len(), 6);
        assert_eq!(Choices::new(&[]).collect::<Vec<_>>(), [Vec::<usize>::new()]);
    }
}
