//! The fields of an instruction that the node took apart.

use super::TransactionProblem;
use serde::de::DeserializeOwned;
use serde_json::Value;
use solana_pubkey::Pubkey;
use solana_transaction_status_client_types::ParsedInstruction;
use std::str::FromStr;

/// One instruction: `{"type": kind, "info": {…}}`, or only a text.
pub(super) struct Info<'a> {
    pub(super) program: &'a str,
    pub(super) kind: &'a str,
    pub(super) parsed: &'a Value,
    fields: &'a Value,
}

impl<'a> Info<'a> {
    pub(super) fn new(instruction: &'a ParsedInstruction) -> Self {
        let parsed = &instruction.parsed;
        Self {
            program: &instruction.program,
            kind: parsed.get("type").and_then(Value::as_str).unwrap_or(""),
            fields: parsed.get("info").unwrap_or(&Value::Null),
            parsed,
        }
    }

    /// The fields inside a field.
    pub(super) fn inside(&self, name: &str) -> Result<Info<'a>, TransactionProblem> {
        let fields = self.field(name)?;
        Ok(Info { fields, ..*self })
    }

    /// The error of this instruction.
    pub(super) fn problem(&self, reason: impl Into<String>) -> TransactionProblem {
        TransactionProblem::NotRestorable {
            program: self.program.to_owned(),
            kind: self.kind.to_owned(),
            reason: reason.into(),
        }
    }

    /// The error of a type that is not known.
    pub(super) fn unknown(&self) -> TransactionProblem {
        self.problem("its type is not among those that can be restored")
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.fields.get(name).is_some_and(|value| !value.is_null())
    }

    fn field(&self, name: &str) -> Result<&'a Value, TransactionProblem> {
        let field = self.fields.get(name);
        field.ok_or_else(|| self.problem(format!("it has no field `{name}`")))
    }

    /// A number, or anything else that serde reads.
    pub(super) fn value<T: DeserializeOwned>(&self, name: &str) -> Result<T, TransactionProblem> {
        T::deserialize(self.field(name)?)
            .map_err(|error| self.problem(format!("its field `{name}` is wrong: {error}")))
    }

    /// Something written as a text: an address, a hash, an amount of tokens.
    pub(super) fn text<T: FromStr>(&self, name: &str) -> Result<T, TransactionProblem> {
        let text = self.field(name)?.as_str();
        text.and_then(|text| text.parse().ok())
            .ok_or_else(|| self.problem(format!("its field `{name}` is wrong")))
    }

    pub(super) fn key(&self, name: &str) -> Result<Pubkey, TransactionProblem> {
        self.text(name)
    }

    pub(super) fn keys<const N: usize>(
        &self,
        names: [&str; N],
    ) -> Result<Vec<Pubkey>, TransactionProblem> {
        names.into_iter().map(|name| self.key(name)).collect()
    }

    /// Those of the named addresses that are there.
    pub(super) fn present<const N: usize>(
        &self,
        names: [&str; N],
    ) -> Result<Vec<Pubkey>, TransactionProblem> {
        let names = names.into_iter().filter(|name| self.has(name));
        names.map(|name| self.key(name)).collect()
    }

    /// An address that may be absent or null.
    pub(super) fn optional_key(&self, name: &str) -> Result<Option<Pubkey>, TransactionProblem> {
        match self.has(name) {
            true => self.key(name).map(Some),
            false => Ok(None),
        }
    }

    /// A list of addresses.
    pub(super) fn key_list(&self, name: &str) -> Result<Vec<Pubkey>, TransactionProblem> {
        let list: Vec<String> = self.value(name)?;
        let keys = list.iter().map(|key| key.parse().ok());
        keys.collect::<Option<_>>()
            .ok_or_else(|| self.problem(format!("its field `{name}` is wrong")))
    }
}
