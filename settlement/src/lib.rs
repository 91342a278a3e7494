//! Paying workers: receipts become batches of rewards, and batches become claims on Solana.
//!
//! A batch is written to the bucket before anything else knows of it: one object, which can be
//! written once for each number, and holds the receipts, what each earns, and how far every
//! router's receipts are settled with it. So whoever finds it, however often and after whatever
//! crash, can only settle that batch; and the program accepts it once. See `docs/SETTLEMENT.md`.

mod aggregate;
mod archive;
mod audit;
mod batch;
mod chain;
mod collect;
mod follow;
mod rpc;
mod settler;
pub mod slash;
mod step;
mod submit;
mod tree;
mod wallet;

pub use aggregate::{Aggregate, AggregateError};
pub use anchor_lang::solana_program::instruction::Instruction;
pub use archive::ArchiveError;
pub use audit::{Audit, AuditError, Difference, audit};
pub use batch::{Batch, BatchError, Header, Reward};
pub use chain::{Chain, ChainError};
pub use collect::{CollectError, Collected};
pub use follow::{FollowError, Followed, Follower, deposit_reference};
pub use rpc::{Account, Hash, JsonRpc, Rpc, RpcError, Signature, Status};
pub use settler::{Outcome, SettleError, Settler};
pub use solana_keypair::{Keypair, read_keypair_file};
pub use solana_pubkey::Pubkey;
pub use step::{Silent, Step, Steps};
pub use strm::state::Terms;
pub use submit::SubmitError;
pub use tree::RewardTree;
pub use wallet::{ClaimReport, Wallet, public_key};
