//! The real binary: `streamsync dev` with its own Redis and worker processes, asked over HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod cluster;
mod crash;
mod faults;
mod liar;
mod queries;
mod readers;
mod set_up;

use streamsync_testing::{Suite, fixtures, python};

fn main() -> std::process::ExitCode {
    let mut suite = Suite::new();
    suite.test("every format carries the same rows", queries::formats);
    suite.test(
        "bad input has its own error and breaks nothing",
        queries::bad_input,
    );
    suite.test("tables and workers can be listed", queries::listings);
    suite.test("the command prints a table and the race", queries::command);
    suite.needs_fixtures(
        "recorded blocks give the recorded counts",
        queries::recorded_counts,
    );
    suite.test(
        "a racer killed in the middle of a query costs nothing",
        faults::killed_racer,
    );
    suite.test(
        "an ingest killed at any point loses and doubles nothing",
        crash::killed_ingest,
    );
    suite.test("a client that hangs up frees the workers", faults::hang_up);
    suite.test(
        "the whole of it stops cleanly when told to",
        faults::clean_stop,
    );
    suite.test("a worker that lies never wins and is named", liar::named);
    suite.needs(
        "every table opens in another Delta reader with the same counts",
        fixtures().zip(python()),
        "no fixtures or no Python with deltalake",
        readers::deltalake,
    );
    suite.test(
        "configuration is printed with secrets masked",
        set_up::config_check,
    );
    suite.test(
        "what is wrong with the surroundings is told",
        set_up::surroundings,
    );
    suite.run()
}
