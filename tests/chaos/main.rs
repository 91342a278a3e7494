//! The real binary as a whole network, while everything in it is killed, stalled and cut off at random:
//! routers, workers, compactors, ingest, Redis, the bucket.
//!
//! `STREAMSYNC_CHAOS_SECONDS` is how long the storm lasts (10), `STREAMSYNC_CHAOS_SEED` draws other events,
//! or the same again, and `STREAMSYNC_CHAOS_FOLDER` keeps logs and data where they can be looked at. Longer
//! storms also need a longer `STREAMSYNC_TEST_SECONDS`; `scripts/chaos` sets that, and draws a seed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod accounts;
mod bucket;
mod calm;
mod checker;
mod client;
mod footprint;
mod havoc;
mod history;
mod ingest;
mod ledger;
mod load;
mod network;
mod outage;
mod process;
mod question;
mod receipts;
mod redis;
mod rows;
mod schedule;
mod storm;
mod tally;
mod violation;

use streamsync_testing::Suite;

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    suite.test(
        "killed and stalled in a storm: no wrong answer, no lost receipt, no lost row",
        storm::storm,
    );
    suite.run()
}
