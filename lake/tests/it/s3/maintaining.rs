//! Merging files and deleting what nobody needs while the server fails.

use super::{Failure, Failures, inject, opened, proxied, rows_of_its_slots};
use crate::{
    conformance::lake,
    replace::{one_partition, replacement},
    rows::{append_of, committed, name},
    vacuum::{HOUR, later},
};
use streamsync_core::config::BucketConfig;
use streamsync_lake::{Replaced, Table};
use streamsync_testing::Fault;

const SLOTS: u64 = 12;

/// Merges a partition. What it merges is read through the proxy, and encoded without it.
async fn merge(bucket: &BucketConfig, through: &BucketConfig) -> Result<Table, Failure> {
    let table = opened(through).await?;
    let whole = opened(bucket).await?;
    let files = one_partition(&whole).await;
    if files.len() == 1 {
        return Ok(table);
    }
    for file in &files {
        table.read(file).await?;
    }
    let replace = replacement(&whole, &files).await;
    Ok(match table.replace(replace).await? {
        Replaced::Committed(table) | Replaced::Superseded(table) => table,
    })
}

pub async fn merges_and_vacuums(bucket: BucketConfig, fault: Fault) {
    let mut table = lake(&bucket)
        .await
        .table(&name("signatures"))
        .await
        .unwrap();
    for first in (0..SLOTS).step_by(3) {
        table = committed(table.append(append_of(first..first + 3)).await.unwrap());
    }
    let (proxy, through) = proxied(&bucket).await;
    inject(&proxy, fault.clone(), 31);
    let right = async || {
        let table = opened(&bucket).await.unwrap();
        assert_eq!(rows_of_its_slots(&table).await.unwrap(), SLOTS);
        table
    };
    let mut failures = Failures::default();
    while one_partition(&right().await).await.len() > 1 {
        if let Err(error) = merge(&bucket, &through).await {
            failures.add(error.as_ref());
        }
    }
    loop {
        let attempt = async {
            let table = opened(&through).await?;
            table.checkpoint().await?;
            Ok::<_, Failure>(())
        };
        match attempt.await {
            Ok(()) => break,
            Err(error) => failures.add(error.as_ref()),
        }
    }
    let merged = right().await;
    let mut reads = 0;
    while reads < 5 || proxy.injected() == 0 {
        let read = async { rows_of_its_slots(&opened(&through).await?).await };
        match read.await {
            Ok(slots) => {
                assert_eq!(slots, SLOTS);
                reads += 1;
            }
            Err(error) => failures.add(error.as_ref()),
        }
    }
    // Lists are stale by less than what is promised.
    proxy.heal();
    inject(&proxy, fault, 37);
    // Two hours on nobody may ask for the versions before any more.
    loop {
        let attempt = async {
            let table = opened(&through).await?;
            let unneeded = table.unneeded_files(later(2 * HOUR), HOUR).await?;
            table.vacuum(&unneeded, |_| ()).await?;
            let unneeded = table.unneeded_log(later(2 * HOUR), HOUR).await?;
            table.vacuum(&unneeded, |_| ()).await?;
            Ok::<_, Failure>(())
        };
        let done = attempt.await;
        let table = right().await;
        assert_eq!(table.version(), merged.version());
        match done {
            Ok(()) => break,
            Err(error) => failures.add(error.as_ref()),
        }
    }
    assert!(proxy.injected() > 0);
    let left = merged.unneeded_files(later(2 * HOUR), HOUR).await.unwrap();
    assert_eq!(left.objects, []);
}
