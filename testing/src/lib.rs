//! What integration tests stand on: a test harness that can skip at run time, the surroundings
//! that tests need, and real servers that live as long as the test that started them.
//!
//! A binary of integration tests is `tests/it/main.rs` with `harness = false`:
//!
//! ```no_run
//! use streamsync_testing::{Redis, Suite};
//!
//! fn main() -> std::process::ExitCode {
//!     let mut suite = Suite::new();
//!     suite.test("redis answers", || async {
//!         let redis = Redis::start().await;
//!         assert!(redis.url().starts_with("redis://127.0.0.1:"));
//!     });
//!     suite.needs_fixtures("fixtures hold blocks", |fixtures| async move {
//!         assert!(fixtures.join("blocks").is_dir());
//!     });
//!     suite.run()
//! }
//! ```
//!
//! This crate is for tests only: what it cannot prepare, it panics about, which fails the test
//! that asked for it.
#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "what cannot be prepared has to fail the test that needs it"
)]

mod dying_store;
mod eventually;
mod mutation;
mod redis_server;
mod row_lines;
mod s3_proxy;
mod suite;
mod surroundings;

pub use dying_store::DyingStore;
pub use eventually::eventually;
pub use mutation::mutated;
pub use redis_server::Redis;
pub use row_lines::row_lines;
pub use s3_proxy::{Cut, Fault, Rule, S3Proxy};
pub use suite::{Suite, TIME_LIMIT};
pub use surroundings::{S3_BUCKET, fixtures, node, python, s3_bucket, s3_endpoint};
