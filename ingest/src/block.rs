//! A block as it was confirmed, whatever it was decoded from.

use solana_hash::Hash;
use solana_pubkey::Pubkey;
use solana_signature::Signature;
use solana_transaction_error::TransactionError;
use std::fmt;
use streamsync_core::Slot;

/// The address of the Vote program.
pub const VOTE_PROGRAM: Pubkey =
    Pubkey::from_str_const("Vote111111111111111111111111111111111111111");

/// The most accounts that a transaction can name.
const MAX_ACCOUNT_KEYS: usize = 256;

/// One confirmed block.
#[derive(Clone, Debug, PartialEq)]
pub struct Block {
    /// The slot in which it was made.
    pub slot: Slot,
    /// The slot of the block before it; all slots between the two were skipped.
    pub parent_slot: Slot,
    /// Its hash.
    pub blockhash: Hash,
    /// The hash of the block before it.
    pub previous_blockhash: Hash,
    /// The number of blocks beneath it, absent in old recordings.
    pub block_height: Option<u64>,
    /// The estimated time of its making, in seconds since 1970-01-01T00:00Z; absent in old
    /// recordings.
    pub block_time: Option<i64>,
    /// Its transactions in order, failed ones included.
    pub transactions: Vec<Transaction>,
    /// What was paid for it.
    pub rewards: Vec<Reward>,
}

/// A transaction, and what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Transaction {
    /// The signatures; the first is the transaction's name.
    pub signatures: Vec<Signature>,
    /// The version of the message.
    pub version: Version,
    /// The blockhash, or the nonce, that it was made with.
    pub recent_blockhash: Hash,
    /// Every account it names: static keys, then writable and then readonly ones from lookup
    /// tables. Instructions refer to them by position.
    pub account_keys: Vec<AccountKey>,
    /// How many of the account keys are writable ones from lookup tables.
    pub loaded_writable: usize,
    /// How many of the account keys are readonly ones from lookup tables.
    pub loaded_readonly: usize,
    /// The outer instructions, in order.
    pub instructions: Vec<OuterInstruction>,
    /// Why it failed; `None` where it succeeded.
    pub error: Option<TransactionError>,
    /// The fee, in lamports.
    pub fee: u64,
    /// The lamports of every account before.
    pub pre_balances: Vec<u64>,
    /// The lamports of every account after.
    pub post_balances: Vec<u64>,
    /// The token accounts before.
    pub pre_token_balances: Vec<TokenBalance>,
    /// The token accounts after.
    pub post_token_balances: Vec<TokenBalance>,
    /// What programs logged.
    pub log_messages: Vec<String>,
    /// The compute units it used, absent in old recordings.
    pub compute_units_consumed: Option<u64>,
}

/// The version of a transaction's message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Version {
    /// Without a version, and without lookup tables.
    Legacy,
    /// Version 0, with lookup tables.
    V0,
}

/// An account that a transaction names.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AccountKey {
    /// Its address.
    pub pubkey: Pubkey,
    /// Whether it signed.
    pub is_signer: bool,
    /// Whether the message asks for it to be writable.
    pub is_writable: bool,
}

/// An instruction of the message, with those that its program called in turn.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OuterInstruction {
    /// The instruction.
    pub instruction: Instruction,
    /// The inner instructions, in the order of their calls.
    pub inner: Vec<Instruction>,
}

/// One call of a program.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Instruction {
    /// The position of the program among the account keys.
    pub program_id_index: u8,
    /// The positions of the accounts among the account keys.
    pub accounts: Vec<u8>,
    /// What the program was told.
    pub data: Vec<u8>,
    /// The depth of the call, 1 for an outer instruction; absent in old recordings.
    pub stack_height: Option<u32>,
}

/// The tokens in an account.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenBalance {
    /// The position of the token account among the account keys.
    pub account_index: u8,
    /// The mint of the token.
    pub mint: Pubkey,
    /// Who owns the token account, absent in old recordings.
    pub owner: Option<Pubkey>,
    /// The token program, absent in old recordings.
    pub program_id: Option<Pubkey>,
    /// The number of decimals of the mint.
    pub decimals: u8,
    /// The amount in the token's smallest unit.
    pub amount: u64,
}

/// A payment for a block.
#[derive(Clone, Debug, PartialEq)]
pub struct Reward {
    /// Who was paid.
    pub pubkey: Pubkey,
    /// How much, in lamports; negative for rent that was collected.
    pub lamports: i64,
    /// What the account had after it, in lamports.
    pub post_balance: u64,
    /// What for, absent in old recordings.
    pub reward_type: Option<RewardType>,
    /// The vote account's commission in percent, for staking and voting.
    pub commission: Option<u8>,
}

/// What a reward was paid for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum RewardType {
    /// Transaction fees, to the leader.
    Fee,
    /// Rent.
    Rent,
    /// Staking, to a stake account.
    Staking,
    /// Voting, to a vote account.
    Voting,
}

impl Version {
    /// `legacy` or `0`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Legacy => "legacy",
            Self::V0 => "0",
        }
    }
}

impl RewardType {
    /// `fee`, `rent`, `staking` or `voting`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fee => "fee",
            Self::Rent => "rent",
            Self::Staking => "staking",
            Self::Voting => "voting",
        }
    }
}

impl Transaction {
    /// Whether it is a vote: it has outer instructions, and all of them call the Vote program.
    pub fn is_vote(&self) -> bool {
        !self.instructions.is_empty()
            && self.instructions.iter().all(|outer| {
                let index = usize::from(outer.instruction.program_id_index);
                self.account_keys
                    .get(index)
                    .is_some_and(|key| key.pubkey == VOTE_PROGRAM)
            })
    }

    /// The number of inner instructions.
    pub fn inner_instruction_count(&self) -> usize {
        self.instructions
            .iter()
            .map(|outer| outer.inner.len())
            .sum()
    }

    /// Checks that every position points into the account keys, and that there is a balance for
    /// every account.
    pub fn check(&self) -> Result<(), InvalidTransaction> {
        let keys = self.account_keys.len();
        if self.signatures.is_empty() {
            return Err(InvalidTransaction::NoSignature);
        }
        if keys == 0 {
            return Err(InvalidTransaction::NoAccount);
        }
        if keys > MAX_ACCOUNT_KEYS {
            return Err(InvalidTransaction::TooManyAccounts { keys });
        }
        for (when, balances) in [
            ("before", &self.pre_balances),
            ("after", &self.post_balances),
        ] {
            if balances.len() != keys {
                let count = balances.len();
                return Err(InvalidTransaction::Balances { when, count, keys });
            }
        }
        let calls = self
            .instructions
            .iter()
            .flat_map(|outer| std::iter::once(&outer.instruction).chain(&outer.inner));
        let positions = calls.flat_map(|call| {
            std::iter::once(call.program_id_index).chain(call.accounts.iter().copied())
        });
        let tokens = self
            .pre_token_balances
            .iter()
            .chain(&self.post_token_balances);
        let mut positions = positions.chain(tokens.map(|token| token.account_index));
        match positions.find(|&position| usize::from(position) >= keys) {
            Some(position) => Err(InvalidTransaction::Position { position, keys }),
            None => Ok(()),
        }
    }
}

/// A transaction whose parts do not fit together.
#[derive(Debug, thiserror::Error)]
pub enum InvalidTransaction {
    /// Without a signature it has no name.
    #[error("it has no signature")]
    NoSignature,
    /// Without an account there is nobody to pay the fee.
    #[error("it names no account")]
    NoAccount,
    /// Positions have eight bits.
    #[error("it names {keys} accounts, and no transaction can name more than {MAX_ACCOUNT_KEYS}")]
    TooManyAccounts {
        /// The number of account keys.
        keys: usize,
    },
    /// As many balances as accounts are needed.
    #[error("it has {count} balances {when} it ran, but {keys} account keys")]
    Balances {
        /// `before` or `after`.
        when: &'static str,
        /// The number of balances.
        count: usize,
        /// The number of account keys.
        keys: usize,
    },
    /// Something refers to an account that is not there.
    #[error("it refers to account {position}, but has {keys} account keys")]
    Position {
        /// The position.
        position: u8,
        /// The number of account keys.
        keys: usize,
    },
}

/// The message's own rule for which of its static keys sign and which may be written: signers come
/// first, and in both groups the writable ones come first.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) required_signatures: usize,
    pub(crate) readonly_signed: usize,
    pub(crate) readonly_unsigned: usize,
}

impl Header {
    /// All accounts of a transaction, with what the message says of each.
    pub(crate) fn account_keys(
        self,
        static_keys: &[Pubkey],
        loaded_writable: &[Pubkey],
        loaded_readonly: &[Pubkey],
    ) -> Vec<AccountKey> {
        let first_readonly_signed = self
            .required_signatures
            .saturating_sub(self.readonly_signed);
        let first_readonly_unsigned = static_keys.len().saturating_sub(self.readonly_unsigned);
        let named = static_keys.iter().enumerate().map(|(index, &pubkey)| {
            let is_signer = index < self.required_signatures;
            let first_readonly = if is_signer {
                first_readonly_signed
            } else {
                first_readonly_unsigned
            };
            AccountKey {
                pubkey,
                is_signer,
                is_writable: index < first_readonly,
            }
        });
        let loaded = |is_writable| {
            move |&pubkey: &Pubkey| AccountKey {
                pubkey,
                is_signer: false,
                is_writable,
            }
        };
        named
            .chain(loaded_writable.iter().map(loaded(true)))
            .chain(loaded_readonly.iter().map(loaded(false)))
            .collect()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
