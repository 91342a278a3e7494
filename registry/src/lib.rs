//! What StreamSync keeps in Redis: so far, which workers there are and whether they live.
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

mod health;
mod heartbeat;
mod heat;
mod ownership;
mod registry;

pub use health::{FAILED_AFTER, Health, SUSPECT_AFTER};
pub use heartbeat::{Heartbeat, InvalidHeartbeat, SignedHeartbeat};
pub use ownership::{OWNERS, owners};
pub use registry::{RegisteredWorker, Registry, RegistryError};
