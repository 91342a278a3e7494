//! Memos: the node shows only the text; whether accounts were to sign it is lost.

use super::{Form, Forms, Info, TransactionProblem};
use crate::block::AccountKey;

pub(super) const PROGRAM: &str = "spl-memo";

pub(super) fn restore(info: &Info<'_>) -> Result<Forms, TransactionProblem> {
    Ok(Forms {
        sure_if_inner: false,
        ..Forms::one(data(info)?, Vec::new())
    })
}

/// The memo with accounts that sign it: each signer of the transaction, and all of them.
pub(super) fn signed_by(
    info: &Info<'_>,
    keys: &[AccountKey],
) -> Result<Vec<Form>, TransactionProblem> {
    let data = data(info)?;
    let signers = keys.iter().filter(|key| key.is_signer);
    let signers: Vec<_> = signers.map(|key| key.pubkey).collect();
    let mut sets: Vec<_> = signers.iter().map(|&signer| vec![signer]).collect();
    if signers.len() > 1 {
        sets.push(signers);
    }
    let form = |accounts| Form {
        data: data.clone(),
        accounts,
    };
    Ok(sets.into_iter().map(form).collect())
}

fn data(info: &Info<'_>) -> Result<Vec<u8>, TransactionProblem> {
    let text = info.parsed.as_str();
    let text = text.ok_or_else(|| info.problem("it is not a text"))?;
    Ok(text.as_bytes().to_vec())
}
