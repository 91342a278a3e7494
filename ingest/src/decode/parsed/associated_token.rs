//! Instructions of the Associated Token Account program.

use super::{Form, Forms, Info, TransactionProblem};
use solana_pubkey::Pubkey;

pub(super) const PROGRAM: &str = "spl-associated-token-account";

/// What old clients passed as the seventh account.
const RENT: Pubkey = Pubkey::from_str_const("SysvarRent111111111111111111111111111111111");

pub(super) fn restore(info: &Info<'_>) -> Result<Forms, TransactionProblem> {
    match info.kind {
        "create" => {
            let accounts = creation(info)?;
            let with_rent = [accounts.as_slice(), &[RENT]].concat();
            // Some clients write no data at all, with the same meaning.
            let form = |data: &[u8], accounts: &[Pubkey]| Form {
                data: data.to_vec(),
                accounts: accounts.to_vec(),
            };
            Ok(Forms {
                forms: vec![
                    form(&[0], &accounts),
                    form(&[], &accounts),
                    form(&[], &with_rent),
                    form(&[0], &with_rent),
                ],
                sure_if_inner: false,
            })
        }
        "createIdempotent" => Ok(Forms::one(vec![1], creation(info)?)),
        "recoverNested" => Ok(Forms::one(
            vec![2],
            info.keys([
                "nestedSource",
                "nestedMint",
                "destination",
                "nestedOwner",
                "ownerMint",
                "wallet",
                "tokenProgram",
            ])?,
        )),
        _ => Err(info.unknown()),
    }
}

fn creation(info: &Info<'_>) -> Result<Vec<Pubkey>, TransactionProblem> {
    info.keys([
        "source",
        "account",
        "wallet",
        "mint",
        "systemProgram",
        "tokenProgram",
    ])
}
