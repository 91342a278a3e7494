//! Real blocks, a real lake and a real HTTP endpoint.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod decoding;
mod endpoint;
mod exactly_once;
mod files;
mod hostile;
mod lake;
mod rpc;
mod speed;

use streamsync_testing::Suite;

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    decoding::add(&mut suite);
    hostile::add(&mut suite);
    files::add(&mut suite);
    exactly_once::add(&mut suite);
    rpc::add(&mut suite);
    speed::add(&mut suite);
    suite.run()
}
