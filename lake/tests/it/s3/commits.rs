//! Commits whose answers are lost.

use super::{opened, proxied, rows_of_its_slots};
use crate::{
    conformance::lake,
    replace::{done, one_partition, replacement},
    rows::{all_rows, append_of, committed, lines, name, signatures},
};
use futures::future::join_all;
use streamsync_core::{Slot, config::BucketConfig};
use streamsync_lake::{AppendError, CommitError, Lake, tables};
use streamsync_testing::{Cut, Fault, Rule};

/// Both ways in which what was done may look as if it had failed.
fn unsaid() -> [Fault; 2] {
    [Fault::LostAnswer, Fault::ErrorAfterwards]
}

fn commit_of(version: u64, fault: Fault) -> Rule {
    let path = format!("_delta_log/{version:020}.json");
    Rule::new(fault).method("PUT").path(&path)
}

pub async fn an_append_whose_answer_is_lost_is_done_once(bucket: BucketConfig) {
    lake(&bucket).await;
    let (proxy, through) = proxied(&bucket).await;
    let mut slots = 0;
    for fault in unsaid() {
        // Once, and then every time that the request is sent again.
        for times in [1, usize::MAX] {
            let injected = proxy.injected();
            proxy.inject(commit_of(slots + 1, fault.clone()).first(times));
            let table = opened(&through).await.unwrap();
            let table = committed(table.append(append_of([slots])).await.unwrap());
            slots += 1;
            assert_eq!(table.version(), slots);
            assert!(proxy.injected() > injected);
            proxy.heal();
            let table = opened(&bucket).await.unwrap();
            assert_eq!(rows_of_its_slots(&table).await.unwrap(), slots);
            assert_eq!(table.version(), slots);
        }
    }
}

pub async fn a_replacement_whose_answer_is_lost_is_done_once(bucket: BucketConfig) {
    let table = lake(&bucket)
        .await
        .table(&name("signatures"))
        .await
        .unwrap();
    let table = committed(table.append(append_of(0..20)).await.unwrap());
    let table = committed(table.append(append_of(20..40)).await.unwrap());
    let expected = all_rows(&table).await;
    let (proxy, through) = proxied(&bucket).await;
    for (fault, version) in unsaid().into_iter().zip(3..) {
        proxy.inject(commit_of(version, fault));
        let table = opened(&through).await.unwrap();
        let files = one_partition(&table).await;
        let merged = done(
            table
                .replace(replacement(&table, &files).await)
                .await
                .unwrap(),
        );
        assert_eq!((merged.version(), proxy.injected() > 0), (version, true));
        let table = opened(&bucket).await.unwrap();
        assert_eq!(table.version(), version);
        assert_eq!(all_rows(&table).await, expected);
        assert_eq!(one_partition(&table).await.len(), 1);
        proxy.heal();
    }
}

/// The answer is lost, and what is read to find out whether it was done comes short.
pub async fn an_append_of_which_too_little_is_read_keeps_its_files(bucket: BucketConfig) {
    lake(&bucket).await;
    let (proxy, through) = proxied(&bucket).await;
    for (slot, reads) in (0..).zip(1..=4) {
        let version = slot + 1;
        let table = opened(&through).await.unwrap();
        proxy.inject(commit_of(version, Fault::LostAnswer));
        let path = format!("_delta_log/{version:020}.json");
        proxy.inject(
            Rule::new(Fault::Shortened(Cut::After(0)))
                .path(&path)
                .first(reads),
        );
        let injected = proxy.injected();
        let _ = table.append(append_of([slot])).await;
        assert!(proxy.injected() > injected + 1);
        proxy.heal();
        // Whatever was said of it: doing it again completes it.
        let table = opened(&through).await.unwrap();
        table.append(append_of([slot])).await.unwrap();
        let table = opened(&bucket).await.unwrap();
        assert_eq!(table.version(), version);
        assert_eq!(rows_of_its_slots(&table).await.unwrap(), version);
    }
}

pub async fn tables_whose_answers_are_lost_are_created_once(bucket: BucketConfig) {
    for (fault, prefix) in unsaid().into_iter().zip(["lost", "error"]) {
        let bucket = BucketConfig {
            url: format!("{}/{prefix}", bucket.url),
            ..bucket.clone()
        };
        let (proxy, through) = proxied(&bucket).await;
        proxy.inject(commit_of(0, fault));
        let lake = Lake::open(&through).unwrap();
        lake.create_tables().await.unwrap();
        assert!(proxy.injected() >= tables::definitions().len());
        proxy.heal();
        for definition in tables::definitions() {
            let table = lake.table(&name(definition.name)).await.unwrap();
            assert_eq!(
                (table.version(), table.schema()),
                (0, definition.schema.clone())
            );
        }
    }
}

pub async fn racing_writers_whose_answers_are_lost_all_succeed_once(bucket: BucketConfig) {
    lake(&bucket).await;
    let (proxy, through) = proxied(&bucket).await;
    for (fault, seed) in unsaid().into_iter().zip(1..) {
        let rule = Rule::new(fault).method("PUT").path("_delta_log");
        proxy.inject(rule.share(0.4, seed));
    }
    let racers = (0..6_u64).map(|slot| {
        let through = through.clone();
        tokio::spawn(async move {
            let table = opened(&through).await.unwrap();
            let table = committed(table.append(append_of([slot])).await.unwrap());
            assert!(table.coverage().await.unwrap().contains(Slot(slot)));
        })
    });
    for racer in join_all(racers).await {
        racer.unwrap();
    }
    assert_eq!(proxy.injected_by_kind().len(), 2, "both kinds of faults");
    let table = opened(&bucket).await.unwrap();
    assert_eq!(table.version(), 6);
    assert_eq!(all_rows(&table).await, lines(&signatures(0..6, 2)));
}

pub async fn a_commit_that_never_gets_through_appends_nothing(bucket: BucketConfig) {
    lake(&bucket).await;
    let (proxy, through) = proxied(&bucket).await;
    proxy.inject(commit_of(1, Fault::SlowDown));
    let table = opened(&through).await.unwrap();
    let error = table.append(append_of(0..5)).await.unwrap_err();
    assert!(
        matches!(error, AppendError::Commit(CommitError::Unknown { .. })),
        "{error}"
    );
    let told = streamsync_core::with_causes(&error);
    assert!(told.contains("SlowDown"), "{told}");
    assert!(proxy.injected() > 0);
    let table = opened(&bucket).await.unwrap();
    assert_eq!(rows_of_its_slots(&table).await.unwrap(), 0);
    proxy.heal();
    let table = opened(&through).await.unwrap();
    committed(table.append(append_of(0..5)).await.unwrap());
    let table = opened(&bucket).await.unwrap();
    assert_eq!(rows_of_its_slots(&table).await.unwrap(), 5);
}
