//! Lists that lack what was put a moment ago.

use super::{opened, proxied, rows_of_its_slots};
use crate::{
    conformance::lake,
    replace::{done, one_partition, replacement},
    rows::{all_rows, append_of, committed},
    vacuum::now_ms,
};
use std::time::Duration;
use streamsync_core::config::BucketConfig;
use streamsync_lake::Appended;
use streamsync_testing::{Fault, Rule};

pub async fn a_stale_list_gives_an_earlier_version(bucket: BucketConfig) {
    lake(&bucket).await;
    let (proxy, through) = proxied(&bucket).await;
    let table = opened(&through).await.unwrap();
    let known = committed(table.append(append_of([0])).await.unwrap());
    proxy.inject(Rule::new(Fault::StaleList));
    let newest = committed(known.append(append_of([1])).await.unwrap());
    assert_eq!(newest.version(), 2);
    // Another process does not see it yet, and sees all of what is before.
    let stale = opened(&through).await.unwrap();
    assert_eq!(
        (stale.version(), rows_of_its_slots(&stale).await.unwrap()),
        (1, 1)
    );
    assert!(proxy.injected() > 0);
    // Who has it does not forget it.
    match newest.refresh().await {
        Ok(refreshed) => assert_eq!(refreshed.version(), 2),
        Err(error) => assert!(error.to_string().contains("could not read"), "{error}"),
    }
    proxy.heal();
    let fresh = stale.refresh().await.unwrap();
    assert_eq!(
        (fresh.version(), rows_of_its_slots(&fresh).await.unwrap()),
        (2, 2)
    );
}

pub async fn a_writer_with_a_stale_list_loses_nothing(bucket: BucketConfig) {
    lake(&bucket).await;
    let (proxy, through) = proxied(&bucket).await;
    let writer = opened(&through).await.unwrap();
    proxy.inject(Rule::new(Fault::StaleList));
    let other = opened(&through).await.unwrap();
    committed(other.append(append_of([0])).await.unwrap());
    // The version is taken, but nothing says by whom.
    let error = writer.append(append_of([1])).await.unwrap_err();
    let told = streamsync_core::with_causes(&error);
    assert!(told.contains("could not tell whether the commit"), "{told}");
    // The same slot as is there already: nor is it appended again.
    let again = writer.append(append_of([0])).await;
    assert!(again.is_err(), "{again:?}");
    assert!(proxy.injected() > 0);
    let table = opened(&bucket).await.unwrap();
    assert_eq!(
        (table.version(), rows_of_its_slots(&table).await.unwrap()),
        (1, 1)
    );

    proxy.heal();
    committed(writer.append(append_of([1])).await.unwrap());
    let again = writer.append(append_of([0])).await.unwrap();
    assert!(matches!(again, Appended::AlreadyThere { .. }), "{again:?}");
    let table = opened(&bucket).await.unwrap();
    assert_eq!(
        (table.version(), rows_of_its_slots(&table).await.unwrap()),
        (2, 2)
    );
}

/// A version that was the newest a moment ago can be read for as long as it is promised, even if the
/// list lacks the commit that replaced its files.
pub async fn a_stale_list_does_not_shorten_the_promise(bucket: BucketConfig) {
    lake(&bucket).await;
    let (proxy, through) = proxied(&bucket).await;
    let table = opened(&through).await.unwrap();
    let table = committed(table.append(append_of(0..20)).await.unwrap());
    let before = committed(table.append(append_of(20..40)).await.unwrap());
    let expected = all_rows(&before).await;
    // The bucket counts in whole seconds: until all of that is older than what is promised below.
    let promise = Duration::from_secs(2);
    let put = now_ms();
    streamsync_testing::eventually(4 * promise, async || now_ms() > put + 3_000).await;
    proxy.inject(Rule::new(Fault::StaleList));
    let files = one_partition(&before).await;
    let after = done(
        before
            .replace(replacement(&before, &files).await)
            .await
            .unwrap(),
    );
    let unneeded = after.unneeded_files(now_ms(), promise).await;
    if let Ok(unneeded) = unneeded {
        after.vacuum(&unneeded, |_| ()).await.unwrap();
    }
    assert!(proxy.injected() > 0);
    let promised = lake(&bucket)
        .await
        .table_at(before.name(), before.version())
        .await
        .unwrap();
    assert_eq!(all_rows(&promised).await, expected);
}
