//! The compactor on real lakes: the same rows before and after, whoever dies and whoever else works.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod accounts;
mod archive;
mod crash;
mod fixture;
mod merging;
mod readers;
mod rollups;
mod sharing;

use streamsync_testing::Suite;

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    merging::add_to(&mut suite);
    archive::add_to(&mut suite);
    crash::add_to(&mut suite);
    rollups::add_to(&mut suite);
    accounts::add_to(&mut suite);
    sharing::add_to(&mut suite);
    readers::add_to(&mut suite);
    suite.run()
}
