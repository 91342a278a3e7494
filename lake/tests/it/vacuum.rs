//! Deleting what nobody needs: part of what every lake does.

use crate::{
    conformance::lake,
    replace::{done, one_partition, replacement},
    rows::{all_rows, append_of, committed, name},
};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use streamsync_core::config::BucketConfig;
use streamsync_lake::{Table, Unneeded};

pub const HOUR: Duration = Duration::from_secs(3_600);

/// The bucket's time, and so the one time here that is taken from the air.
#[allow(clippy::disallowed_methods)]
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_millis() as u64
}

pub fn later(by: Duration) -> u64 {
    now_ms() + by.as_millis() as u64
}

async fn vacuum(table: &Table, unneeded: &Unneeded) {
    let mut deleted = 0;
    table
        .vacuum(unneeded, |bytes| deleted += bytes)
        .await
        .unwrap();
    assert_eq!(deleted, unneeded.bytes());
}

pub async fn only_what_no_promised_snapshot_names_is_unneeded(bucket: BucketConfig) {
    let lake = lake(&bucket).await;
    let table = lake.table(&name("signatures")).await.unwrap();
    let table = committed(table.append(append_of(0..30)).await.unwrap());
    let before = committed(table.append(append_of(30..60)).await.unwrap());
    let files = one_partition(&before).await;
    let after = done(
        before
            .replace(replacement(&before, &files).await)
            .await
            .unwrap(),
    );
    // A file that was staged and never named.
    let orphan = replacement(&after, &one_partition(&after).await).await;
    assert_eq!(orphan.add.len(), 1);
    let expected = all_rows(&after).await;

    // All of it is young, and so is the commit that removed the files.
    let nothing = after.unneeded_files(now_ms(), HOUR).await.unwrap();
    assert_eq!(nothing, Unneeded::default());
    // An hour on, the version before is not promised any more, nor has the orphan a future.
    let unneeded = after.unneeded_files(later(2 * HOUR), HOUR).await.unwrap();
    assert_eq!(unneeded.objects.len(), files.len() + 1, "{unneeded:?}");
    for file in after.files().await.unwrap().iter() {
        let named = |object: &&(String, u64)| object.0.ends_with(&file.path);
        assert!(unneeded.objects.iter().find(named).is_none());
    }
    vacuum(&after, &unneeded).await;
    assert_eq!(all_rows(&after).await, expected);
    let nothing = after.unneeded_files(later(2 * HOUR), HOUR).await.unwrap();
    assert_eq!(nothing, Unneeded::default());
    // Done twice, or by two at once, it is no mistake.
    vacuum(&after, &unneeded).await;
}

pub async fn the_log_before_a_checkpoint_is_unneeded(bucket: BucketConfig) {
    let lake = lake(&bucket).await;
    let mut table = lake.table(&name("signatures")).await.unwrap();
    for slot in 0..5 {
        table = committed(table.append(append_of([slot])).await.unwrap());
        if slot == 2 {
            assert_eq!(table.last_checkpoint(), None);
            table.checkpoint().await.unwrap();
        }
    }
    let expected = all_rows(&table).await;
    let nothing = table.unneeded_log(now_ms(), HOUR).await.unwrap();
    assert_eq!(nothing, Unneeded::default());
    let unneeded = table.unneeded_log(later(2 * HOUR), HOUR).await.unwrap();
    let before_checkpoint = |object: &(String, u64)| {
        (0..3).any(|version| object.0.contains(&format!("{version:020}.")))
    };
    assert!(unneeded.objects.len() >= 3, "{unneeded:?}");
    assert!(
        unneeded.objects.iter().all(before_checkpoint),
        "{unneeded:?}"
    );
    vacuum(&table, &unneeded).await;

    let opened = lake.table(&name("signatures")).await.unwrap();
    assert_eq!((opened.version(), opened.last_checkpoint()), (5, Some(3)));
    assert_eq!(all_rows(&opened).await, expected);
    assert_eq!(opened.coverage().await.unwrap().len(), 5);
    let promised = lake.table_at(&name("signatures"), 3).await.unwrap();
    assert_eq!(promised.coverage().await.unwrap().len(), 3);
    assert!(lake.table_at(&name("signatures"), 1).await.is_err());
    // Who has an older version in memory goes on, and cannot follow the changes.
    assert_eq!(opened.changes_since(1).await.unwrap(), None);
    let next = committed(opened.append(append_of([9])).await.unwrap());
    assert_eq!(next.coverage().await.unwrap().len(), 6);
}
