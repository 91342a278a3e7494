//! What StreamSync keeps in Redis: which workers there are and whether they live, what the network
//! thinks of them and why, and which partitions are asked for; who may ask, how much credit he has,
//! and what he was charged.
//!
//! All keys begin with the configured prefix in braces, `{streamsync}:`, so that Redis Cluster
//! keeps them together. Changes of several keys are Lua scripts.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use streamsync_core::config::RedisConfig;
//! use streamsync_registry::{Health, Registry};
//!
//! let registry = Registry::connect(&RedisConfig::default()).await?;
//! for worker in registry.workers().await? {
//!     println!("{} is {}", worker.heartbeat.endpoint, worker.health());
//! }
//! # Ok(())
//! # }
//! ```

mod admin_log;
mod audit;
mod backup;
mod chain_deposits;
mod connection;
mod credit;
mod evidence;
mod health;
mod heartbeat;
mod heat;
mod holdings;
mod keys;
mod lease;
mod news;
mod nonces;
mod ownership;
mod pending;
mod prices;
mod receipts;
mod registry;
mod reputation;
mod settlements;
mod stakes;
mod standing;
mod usage;
mod workers;

pub use admin_log::Act;
pub use audit::{Audit, Finding};
pub use backup::{BACKUP_FORMAT, RegistryBackup, RestoreError, SettledReceipt};
pub use chain_deposits::ChainDeposit;
pub use credit::{Balance, DepositRefused, Grant, MOST_CREDIT};
pub use evidence::{Evidence, Offence};
pub use health::{FAILED_AFTER, Health, SUSPECT_AFTER};
pub use heartbeat::{Heartbeat, InvalidHeartbeat, SignedHeartbeat, TrustedGrants};
pub use holdings::{Holdings, InvalidHoldings};
pub use lease::Lease;
pub use news::News;
pub use ownership::{OWNERS, owners, ranking};
pub use pending::Pending;
pub use prices::{Multipliers, PastMultipliers};
pub use receipts::{Debit, FiledReceipt, ReceiptProgress};
pub use registry::{Registry, RegistryError};
pub use reputation::{LIE, Observed, Reputation};
pub use settlements::{Paid, SettledBatch};
pub use standing::{PastReputation, Standing};
pub use usage::{Usage, UsageTotals};
pub use workers::{Changes, Cursor, RegisteredWorker};
