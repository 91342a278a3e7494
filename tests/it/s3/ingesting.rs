//! Blocks that come in while the server fails.

use super::{assert_clear, assert_injected, flags, folder, inject, lines_of, proxied, rows, table};
use crate::cluster::{run, text};
use streamsync_core::config::BucketConfig;
use streamsync_lake::tables;
use streamsync_testing::Fault;
use tempfile::TempDir;

/// Each of them adds the slots after those of the one before.
const BLOCKS: [&str; 3] = ["7,20,200", "7,40,200", "7,60,200"];
/// How often an ingest is run while the server fails, and in all, until it succeeds.
const FAILING: usize = 5;
const ATTEMPTS: usize = 30;
/// Which part of the requests fails.
const SHARE: f64 = 0.05;

/// Whatever becomes of an ingest, no row is there that should not be, and none twice; run until it
/// succeeds, all of them are. What is there is compared with what the same blocks give in a folder.
pub async fn ingests(bucket: BucketConfig, faults: Vec<Fault>) {
    let temporary = TempDir::new().unwrap();
    let path = temporary.path().join("lake");
    let proxy = proxied(&bucket).await;
    let url = proxy.url();
    let mut failed = 0;
    for (number, (fault, blocks)) in faults.iter().zip(BLOCKS).enumerate() {
        let whole = [
            "ingest",
            "--synthetic",
            blocks,
            "--bucket",
            path.to_str().unwrap(),
        ];
        let ingested = run(&whole).await;
        assert!(ingested.status.success(), "{}", text(&ingested.stderr));
        let expected = rows(&folder(&path)).await;
        assert!(expected["transactions"].len() > 1_000 * (number + 1));

        inject(&proxy, fault, SHARE, number as u64);
        let mut arguments = vec!["ingest", "--synthetic", blocks];
        arguments.extend(flags(&bucket, &url));
        let mut attempts = 0;
        loop {
            let ingested = run(&arguments).await;
            attempts += 1;
            // Nothing of it is wrong, however far it came; before the first commits there may be no
            // tables.
            for definition in tables::chain() {
                if !ingested.status.success() && number == 0 {
                    break;
                }
                let table = table(&bucket, definition.name).await;
                let there = lines_of(&table).await;
                let expected = &expected[definition.name];
                assert!(there.windows(2).all(|pair| pair[0] != pair[1]) || there == *expected);
                assert!(there.iter().all(|row| expected.binary_search(row).is_ok()));
            }
            if ingested.status.success() {
                break;
            }
            assert_clear(&ingested);
            failed += 1;
            if attempts == FAILING {
                proxy.heal();
            }
            assert!(attempts < ATTEMPTS, "{}", text(&ingested.stderr));
        }
        // Once more, while it fails still, adds nothing.
        run(&arguments).await;
        assert_eq!(rows(&bucket).await, expected, "{}", fault.name());
    }
    println!("{failed} ingests failed");
    assert_injected(&proxy, &faults);
}
