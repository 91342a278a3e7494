//! Settling in a real bank, with a real Redis, over a lake in memory or on a real S3 server that fails.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "../../../programs/strm/tests/it/bank.rs"]
#[allow(dead_code, reason = "the tests of the program need more of it")]
mod bank;
mod checking;
mod crashes;
mod faulty_bucket;
mod faulty_node;
mod following;
mod network;
mod settling;
mod slashing;

use streamsync_testing::Suite;

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    settling::add_to(&mut suite);
    crashes::add_to(&mut suite);
    faulty_bucket::add_to(&mut suite);
    checking::add_to(&mut suite);
    following::add_to(&mut suite);
    slashing::add_to(&mut suite);
    suite.run()
}
