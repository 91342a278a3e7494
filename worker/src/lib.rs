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
//! let worker = Worker::open(&config.worker, lake, Identity::from_seed([7; 32]), Arc::new(SystemClock)).await?;
//! println!("{} is ready", worker.id());
//! # Ok(())
//! # }
//! ```

mod admission;
mod budgets;
mod cache_report;
mod cancellation;
mod disk;
mod disk_folder;
mod engine;
mod execution;
mod file_key;
mod footers;
mod grant;
mod heartbeat;
mod http;
mod load_error;
mod memory;
mod open_error;
mod parameter;
mod prefetch;
mod reading;
mod resident_memory;
mod scan;
mod scan_thread;
mod shape;
mod sql_type;
mod statement;
mod statements;
mod table_source;
mod tiers;
mod worker;

pub use admission::Busy;
pub use cache_report::{CacheReport, DiskReport, FileReport, MemoryReport};
pub use disk_folder::DiskFolderError;
pub use engine::OpenEngineError;
pub use execution::{Answer, ExecuteError};
pub use grant::GrantError;
pub use heartbeat::beat_until;
pub use http::routes;
pub use load_error::LoadError;
pub use open_error::OpenWorkerError;
pub use prefetch::{PREFETCH_EVERY, prefetch_until};
pub use reading::FetchTableError;
pub use worker::Worker;
