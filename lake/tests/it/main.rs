//! The lake over everything that it can be kept in.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod conformance;
mod crash;
mod damage;
mod faulty_store;
mod rows;
mod unusable;

use streamsync_testing::Suite;

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    conformance::add(&mut suite);
    crash::add(&mut suite);
    damage::add(&mut suite);
    unusable::add(&mut suite);
    suite.run()
}
