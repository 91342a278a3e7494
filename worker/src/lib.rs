//! A worker: it pulls what a query reads out of the lake into a hot cache in DuckDB, answers,
//! and signs the answer. It keeps nothing that could not be pulled again.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::sync::Arc;
//! use streamsync_core::{Identity, clock::SystemClock, config::Config};
//! use streamsync_lake::Lake;
//! use streamsync_worker::Worker;
//!
//! let config = Config::default();
//! let lake = Lake::open(&config.bucket)?;
//! let worker = Worker::open(&config.worker, lake, Identity::from_seed([7; 32]), Arc::new(SystemClock))?;
//! println!("{} is ready", worker.id());
//! # Ok(())
//! # }
//! ```

mod admission;
mod cancellation;
mod engine;
mod execution;
mod heartbeat;
mod hot_cache;
mod http;
mod pin;
mod statement;
mod worker;

pub use admission::Busy;
pub use engine::OpenEngineError;
pub use execution::{Answer, ExecuteError};
pub use heartbeat::beat_until;
pub use hot_cache::LoadError;
pub use http::routes;
pub use worker::Worker;
