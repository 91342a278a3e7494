//! The real binary: `streamsync dev` with its own Redis and worker processes, asked over HTTP.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod administration;
mod adversary;
mod attack;
mod backup;
mod billing;
mod byzantine;
mod chaos;
mod cluster;
mod compaction;
mod crash;
mod elastic;
mod examples;
mod faults;
mod hostile;
mod localnet;
mod metrics_list;
mod network;
mod notifications;
mod queries;
mod readers;
mod s3;
mod set_up;
mod signed;
mod traces;
mod upgrade;

use streamsync_testing::{Suite, fixtures, node, python};

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
    suite.test(
        "compactors killed at random while blocks come in lose and double nothing",
        compaction::killed_compactors,
    );
    suite.needs_fixtures(
        "a rollup is answered from the coarsest level that gives the same",
        compaction::levels,
    );
    suite.test("a client that hangs up frees the workers", faults::hang_up);
    suite.test("a router that is full says so", faults::overload);
    suite.test(
        "the whole of it stops cleanly when told to",
        faults::clean_stop,
    );
    suite.test(
        "who lies is found out by one router, excluded by all, and on record in the lake",
        byzantine::found_out,
    );
    suite.test("fast answers are audited", byzantine::audited);
    suite.test(
        "the workers of one operator cannot confirm each other",
        byzantine::one_operator,
    );
    suite.test(
        "ten thousand queries in a storm: no wrong answer, none lost",
        chaos::storm,
    );
    suite.needs(
        "the example in Python is answered",
        python(),
        "no Python",
        examples::python,
    );
    suite.needs(
        "the example in JavaScript is answered",
        node(),
        "no Node.js",
        examples::node,
    );
    suite.test("hostile requests get nothing", hostile::requests);
    suite.test(
        "clients are charged what their receipts say, whatever is killed",
        billing::storm,
    );
    suite.test(
        "receipts outlive the router and Redis",
        billing::receipts_without_redis,
    );
    suite.needs(
        "workers are paid on a chain, to the unit, whatever is killed",
        localnet::built(),
        "no Solana node; `scripts/localnet` builds one",
        localnet::paid,
    );
    suite.test(
        "a key's limit holds over three routers",
        billing::limit_over_routers,
    );
    suite.test(
        "an operator's commands for keys and credit",
        administration::commands,
    );
    suite.test(
        "keys, credit, prices and quotes over HTTP",
        administration::addresses,
    );
    suite.test(
        "settled batches and rewards over HTTP",
        administration::settlements,
    );
    suite.test(
        "what happens while Redis is away is told when it is back",
        chaos::spooled,
    );
    suite.test(
        "a registry that was away for long is told in the end",
        chaos::told_late,
    );
    s3::add(&mut suite);
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
    suite.test(
        "what Redis has lost comes back from the bucket",
        backup::restored,
    );
    suite.test(
        "a quorum comes when somebody asks, and who dies is replaced",
        elastic::replaced,
    );
    suite.test(
        "a worker that cannot work ends, whoever started it",
        elastic::ends,
    );
    suite.test("queries wait for workers to come", elastic::awaited);
    suite.test(
        "workers come and go with the load, and no query is lost",
        elastic::ramp,
    );
    suite.test(
        "a query is traced from the client to the bucket",
        traces::traced,
    );
    suite.needs_s3(
        "a bucket tells routers of new versions before they poll",
        notifications::told,
    );
    suite.test(
        "a bucket that cannot be made is said",
        notifications::refused,
    );
    suite.needs(
        "two versions answer together while one replaces the other",
        upgrade::previous(),
        "no binary of an earlier version; `make upgrade` builds one",
        upgrade::rolling,
    );
    suite.test("every metric is in the list", metrics_list::complete);
    suite.test("the doctor says what is wrong", set_up::doctor);
    suite.run()
}
