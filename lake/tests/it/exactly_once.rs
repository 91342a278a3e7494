//! Appending exactly once, whoever else appends: part of what every lake does.

use crate::{
    conformance::lake,
    rows::{all_rows, append_of, committed, lines, name, signatures, slots},
};
use futures::future::join_all;
use std::{collections::BTreeSet, sync::Arc};
use streamsync_core::config::BucketConfig;
use streamsync_lake::{Append, AppendError, Appended, Lake, TransactionId};
use tokio::sync::Barrier;

pub async fn a_transaction_is_appended_once(bucket: BucketConfig) {
    let table = lake(&bucket)
        .await
        .table(&name("signatures"))
        .await
        .unwrap();
    let append = |app_id: &str, version| Append {
        batches: vec![signatures([version as u64], 3)],
        covers: None,
        transaction: Some(TransactionId {
            app_id: app_id.to_owned(),
            version,
        }),
    };
    let first = committed(table.append(append("a", 5)).await.unwrap());
    assert_eq!(first.version(), 1);
    // From the version before it, after it, and lower in the sequence.
    for (from, version) in [(&table, 5), (&first, 5), (&first, 4)] {
        match from.append(append("a", version)).await.unwrap() {
            Appended::AlreadyThere { table } => assert_eq!(table.version(), 1),
            Appended::Committed { .. } => panic!("{version} was appended again"),
        }
    }
    let other = committed(first.append(append("b", 5)).await.unwrap());
    let next = committed(first.append(append("a", 6)).await.unwrap());
    assert_eq!((other.version(), next.version()), (2, 3));
    assert_eq!(all_rows(&next).await.len(), 9);
}

pub async fn covered_slots_are_refused(bucket: BucketConfig) {
    let table = lake(&bucket)
        .await
        .table(&name("signatures"))
        .await
        .unwrap();
    let newest = committed(table.append(append_of(10..20)).await.unwrap());
    let files = newest.files().await.unwrap().len();
    match table.append(append_of(15..25)).await.unwrap_err() {
        AppendError::Covered { slots, table } => {
            assert_eq!(slots.to_string(), "[[15,19]]");
            assert_eq!(table.version(), newest.version());
        }
        error => panic!("{error}"),
    }
    match table.append(append_of(12..14)).await.unwrap() {
        Appended::AlreadyThere { table } => assert_eq!(table.version(), newest.version()),
        Appended::Committed { .. } => panic!("slots were appended again"),
    }
    let newest = newest.refresh().await.unwrap();
    assert_eq!(
        (newest.version(), newest.files().await.unwrap().len()),
        (1, files)
    );
    let newest = committed(newest.append(append_of(20..25)).await.unwrap());
    assert_eq!(newest.coverage().await.unwrap().to_string(), "[[10,24]]");
    assert_eq!(all_rows(&newest).await.len(), 30);
    assert_eq!(table.coverage().await.unwrap().to_string(), "[]");
}

pub async fn an_append_may_cover_slots_without_rows(bucket: BucketConfig) {
    let table = lake(&bucket)
        .await
        .table(&name("signatures"))
        .await
        .unwrap();
    let skipped = || Append {
        covers: Some(slots(5..8)),
        ..Append::default()
    };
    match table.append(skipped()).await.unwrap() {
        Appended::Committed {
            table,
            files: 0,
            rows: 0,
            bytes: 0,
        } => assert_eq!(table.coverage().await.unwrap(), slots(5..8)),
        other => panic!("{other:?}"),
    }
    let again = table.append(skipped()).await.unwrap();
    assert!(matches!(again, Appended::AlreadyThere { .. }), "{again:?}");
    let empty = Append {
        batches: vec![signatures([], 1)],
        covers: Some(slots([8])),
        transaction: None,
    };
    let table = committed(table.append(empty).await.unwrap());
    assert_eq!(table.version(), 2);
    assert!(table.files().await.unwrap().is_empty());
}

pub async fn rows_that_do_not_fit_are_refused(bucket: BucketConfig) {
    let table = lake(&bucket).await.table(&name("blocks")).await.unwrap();
    let append = Append {
        batches: vec![signatures([1], 1)],
        ..Append::default()
    };
    let error = table.append(append).await.unwrap_err();
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(matches!(error, AppendError::Encode { .. }), "{error}");
    assert!(cause.contains("do not fit the columns"), "{cause}");
    assert_eq!(table.refresh().await.unwrap().version(), 0);
}

/// Lets `writers` append at the same moment, each from its own opening of the lake, and gives what
/// became of it.
async fn race(
    bucket: &BucketConfig,
    writers: u64,
    append: impl Fn(u64) -> Append,
) -> Vec<Result<Appended, AppendError>> {
    lake(bucket).await;
    let barrier = Arc::new(Barrier::new(writers as usize));
    let racers = (0..writers).map(|writer| {
        let (bucket, barrier, append) = (bucket.clone(), barrier.clone(), append(writer));
        tokio::spawn(async move {
            let lake = Lake::open(&bucket).unwrap();
            let table = lake.table(&name("signatures")).await.unwrap();
            barrier.wait().await;
            table.append(append).await
        })
    });
    join_all(racers)
        .await
        .into_iter()
        .map(Result::unwrap)
        .collect()
}

async fn all_succeed_once(bucket: BucketConfig, writers: u64) {
    let range = |writer: u64| writer * 10..writer * 10 + 5;
    let outcomes = race(&bucket, writers, |writer| append_of(range(writer))).await;
    let versions: BTreeSet<u64> = outcomes
        .into_iter()
        .map(|outcome| committed(outcome.unwrap()).version())
        .collect();
    assert_eq!(versions, (1..=writers).collect());
    let table = Lake::open(&bucket).unwrap();
    let table = table.table(&name("signatures")).await.unwrap();
    assert_eq!(table.version(), writers);
    let all = signatures((0..writers).flat_map(range), 2);
    assert_eq!(all_rows(&table).await, lines(&all));
    assert_eq!(
        table.coverage().await.unwrap(),
        slots((0..writers).flat_map(range))
    );
}

pub async fn two_racing_writers_both_succeed_once(bucket: BucketConfig) {
    all_succeed_once(bucket, 2).await;
}

pub async fn eight_racing_writers_all_succeed_once(bucket: BucketConfig) {
    all_succeed_once(bucket, 8).await;
}

pub async fn the_same_append_raced_is_done_once(bucket: BucketConfig) {
    let outcomes = race(&bucket, 4, |_| append_of(0..5)).await;
    let done = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Ok(Appended::Committed { .. })))
        .count();
    let there = outcomes
        .iter()
        .filter(|outcome| matches!(outcome, Ok(Appended::AlreadyThere { .. })))
        .count();
    assert_eq!((done, there), (1, 3), "{outcomes:?}");
    let table = Lake::open(&bucket).unwrap();
    let table = table.table(&name("signatures")).await.unwrap();
    assert_eq!(all_rows(&table).await, lines(&signatures(0..5, 2)));
}
