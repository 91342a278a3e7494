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
mod exactly_once;
mod faulty_store;
mod others;
mod outcome;
mod replace;
mod rows;
mod s3;
mod stores;
mod unusable;
mod vacuum;

use streamsync_testing::Suite;

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    conformance::add(&mut suite);
    crash::add(&mut suite);
    damage::add(&mut suite);
    others::add(&mut suite);
    s3::add(&mut suite);
    stores::add(&mut suite);
    unusable::add(&mut suite);
    suite.run()
}
