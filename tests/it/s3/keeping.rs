//! The lake kept in shape while the server fails.

use super::{assert_clear, assert_injected, flags, inject, proxied, rows, table};
use crate::cluster::{run, streamsync, text};
use std::{sync::Arc, time::Duration};
use streamsync_compactor::{Claims, Compactor, Silent};
use streamsync_core::{
    clock::{Clock, ManualClock, SystemClock},
    config::{BucketConfig, CompactorConfig},
};
use streamsync_lake::{Lake, tables};
use streamsync_testing::Fault;
use tokio_util::sync::CancellationToken;

/// The second adds the slots after those of the first.
const BLOCKS: [&str; 2] = ["7,5,40", "7,10,40"];
/// How often it is tried while the server fails, and how often in all.
const FAILING: usize = 3;
const ATTEMPTS: usize = 30;
const HOUR_MS: u64 = 3_600_000;

/// How many objects nobody needs any more in two hours.
async fn unneeded(bucket: &BucketConfig, clock: &ManualClock) -> usize {
    let mut count = 0;
    for definition in tables::chain() {
        let table = table(bucket, definition.name).await;
        let hour = Duration::from_millis(HOUR_MS);
        let files = table.unneeded_files(clock.unix_millis(), hour).await;
        count += files.unwrap().objects.len();
    }
    count
}

/// Many small files become few, and the files before are deleted; at every moment all tables have the
/// same rows.
pub async fn compacts_and_vacuums(bucket: BucketConfig, fault: Fault) {
    let proxy = proxied(&bucket).await;
    let (healthy, failing) = (bucket.endpoint.clone().unwrap(), proxy.url());
    for blocks in BLOCKS {
        let mut arguments = vec!["ingest", "--synthetic", blocks];
        arguments.extend(flags(&bucket, &healthy));
        let ingested = run(&arguments).await;
        assert!(ingested.status.success(), "{}", text(&ingested.stderr));
    }
    let expected = rows(&bucket).await;
    inject(&proxy, &fault, 1);
    let mut attempts = 0;
    loop {
        let mut command = streamsync();
        command
            .env("STREAMSYNC_COMPACTOR__FAN_IN", "2")
            .args(["compactor", "once", "--alone"])
            .args(flags(&bucket, &failing));
        let output = command.output().await.unwrap();
        assert_eq!(rows(&bucket).await, expected);
        if output.status.success() && text(&output.stdout).starts_with("0 merges") {
            break;
        }
        if !output.status.success() {
            assert_clear(&output);
        }
        attempts += 1;
        if attempts == FAILING {
            proxy.heal();
        }
        assert!(attempts < ATTEMPTS, "{output:?}");
    }

    // Two hours on, nobody has been promised what is not named any more. Lists are stale by less than
    // that.
    inject(&proxy, &fault, 2);
    let mut attempts = 0;
    let clock = Arc::new(ManualClock::at(SystemClock.unix_millis() + 2 * HOUR_MS));
    assert!(unneeded(&bucket, &clock).await > 0);
    loop {
        let lake = Lake::open(&proxy.bucket(&bucket)).unwrap();
        let config = CompactorConfig {
            fan_in: 2,
            promise_s: 3_600,
            ..CompactorConfig::default()
        };
        let observer = Arc::new(Silent);
        let compactor = Compactor::open(lake, Claims::Alone, config, clock.clone(), observer);
        let done = compactor.unwrap().once(&CancellationToken::new()).await;
        assert_eq!(rows(&bucket).await, expected);
        if done.is_ok_and(|report| report.failures.is_empty()) {
            break;
        }
        attempts += 1;
        if attempts == FAILING {
            proxy.heal();
        }
        assert!(attempts < ATTEMPTS);
    }
    assert_eq!(unneeded(&bucket, &clock).await, 0);
    assert_injected(&proxy, &[fault]);
}
