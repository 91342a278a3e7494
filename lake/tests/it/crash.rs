//! Writers that die, and requests that fail, at the worst moments.

use crate::{
    faulty_store::{Fault, FaultyStore},
    rows::{all_rows, append_of, committed, lines, name, signatures, slots},
};
use object_store::ObjectStoreExt;
use std::sync::Arc;
use streamsync_lake::{Append, AppendError, Appended, CommitError, Lake, Table};
use streamsync_testing::Suite;
use url::Url;

pub fn add(suite: &mut Suite) {
    macro_rules! tests {
        ($($test:ident,)*) => {$(
            suite.test(&format!("crash::{}", stringify!($test)), $test);
        )*};
    }
    tests!(
        a_writer_that_dies_before_its_commit_leaves_the_table_as_it_was,
        a_commit_that_fails_appends_nothing,
        a_commit_whose_answer_is_lost_is_done_once,
        a_commit_that_is_sent_twice_is_done_once,
        a_commit_of_which_nothing_is_known_can_be_done_again,
        files_of_an_append_that_is_refused_are_deleted,
        files_of_an_append_that_fails_are_deleted,
        a_commit_that_the_table_does_not_take_is_told_apart,
        a_known_table_asks_nothing_of_the_bucket,
        a_checkpoint_is_written_every_hundred_commits,
    );
}

fn url() -> Url {
    Url::parse("memory:///faulty").unwrap()
}

async fn faulty_table() -> (Arc<FaultyStore>, Table) {
    let store = Arc::new(FaultyStore::default());
    let lake = Lake::with_store(url(), store.clone()).unwrap();
    lake.create_tables().await.unwrap();
    let table = lake.table(&name("signatures")).await.unwrap();
    (store, table)
}

async fn assert_rows(table: &Table, expected: std::ops::Range<u64>) {
    let newest = table.refresh().await.unwrap();
    let rows = signatures(expected.clone(), 2);
    assert_eq!(all_rows(&newest).await, lines(&rows));
    assert_eq!(newest.coverage().await.unwrap(), slots(expected));
}

async fn a_writer_that_dies_before_its_commit_leaves_the_table_as_it_was() {
    let (store, table) = faulty_table().await;
    store.set(Fault::Hangs);
    let writer = table.clone();
    let writer = tokio::spawn(async move { writer.append(append_of(0..5)).await });
    store.hanging.notified().await;
    writer.abort();
    assert!(writer.await.unwrap_err().is_cancelled());
    store.set(Fault::None);

    let orphans = store.data_files().await;
    assert!(!orphans.is_empty());
    assert_eq!(table.refresh().await.unwrap().version(), 0);
    assert_rows(&table, 0..0).await;
    let again = committed(table.append(append_of(0..5)).await.unwrap());
    assert_eq!(again.version(), 1);
    assert_rows(&table, 0..5).await;
}

async fn a_commit_that_fails_appends_nothing() {
    let (store, table) = faulty_table().await;
    store.set(Fault::Fails);
    let error = table.append(append_of(0..5)).await.unwrap_err();
    assert!(
        matches!(error, AppendError::Commit(CommitError::Unknown { .. })),
        "{error}"
    );
    store.set(Fault::None);
    assert_rows(&table, 0..0).await;
    committed(table.append(append_of(0..5)).await.unwrap());
    assert_rows(&table, 0..5).await;
}

async fn a_commit_whose_answer_is_lost_is_done_once() {
    let (store, table) = faulty_table().await;
    store.set(Fault::AnswerIsLost);
    let done = committed(table.append(append_of(0..5)).await.unwrap());
    assert_eq!(done.version(), 1);
    assert_rows(&table, 0..5).await;
}

async fn a_commit_that_is_sent_twice_is_done_once() {
    let (store, table) = faulty_table().await;
    store.set(Fault::IsSentTwice);
    let done = committed(table.append(append_of(0..5)).await.unwrap());
    assert_eq!(done.version(), 1);
    assert_rows(&table, 0..5).await;
}

async fn a_commit_of_which_nothing_is_known_can_be_done_again() {
    let (store, table) = faulty_table().await;
    store.set(Fault::AnswerIsLostAndAllElse);
    let error = table.append(append_of(0..5)).await.unwrap_err();
    assert!(
        matches!(error, AppendError::Commit(CommitError::Unknown { .. })),
        "{error}"
    );
    store.set(Fault::None);
    // It was made after all, and its files were left alone.
    assert_rows(&table, 0..5).await;
    let again = table.append(append_of(0..5)).await.unwrap();
    assert!(matches!(again, Appended::AlreadyThere { .. }), "{again:?}");
    assert_rows(&table, 0..5).await;
}

async fn files_of_an_append_that_is_refused_are_deleted() {
    let (store, table) = faulty_table().await;
    // Another writer takes some of the slots just when this one commits.
    store.set(Fault::Waits);
    let late = table.clone();
    let late = tokio::spawn(async move { late.append(append_of(0..5)).await });
    store.hanging.notified().await;
    store.set(Fault::None);
    let newest = committed(table.append(append_of(4..9)).await.unwrap());
    store.go_on.notify_one();
    match late.await.unwrap().unwrap_err() {
        AppendError::Covered { slots, table } => {
            assert_eq!(slots.to_string(), "[[4,4]]");
            assert_eq!(table.version(), 1);
        }
        error => panic!("{error}"),
    }
    let files = newest.files().await.unwrap().len();
    assert_eq!(store.data_files().await.len(), files);
    assert_rows(&table, 4..9).await;
}

async fn files_of_an_append_that_fails_are_deleted() {
    let (store, table) = faulty_table().await;
    store.set(Fault::DataFails);
    let error = table.append(append_of(0..5)).await.unwrap_err();
    assert!(matches!(error, AppendError::Write { .. }), "{error}");
    store.set(Fault::None);
    assert!(store.data_files().await.is_empty());
    assert_rows(&table, 0..0).await;
}

/// A table that someone else has made, without the feature that coverage needs.
async fn a_commit_that_the_table_does_not_take_is_told_apart() {
    let (store, table) = faulty_table().await;
    let path = "faulty/signatures/_delta_log/00000000000000000000.json".into();
    let log = store.inner.get(&path).await.unwrap().bytes().await.unwrap();
    let log = String::from_utf8(log.to_vec()).unwrap();
    let other = log.replace(r#""domainMetadata","#, "");
    assert_ne!(other, log);
    store.inner.put(&path, other.into()).await.unwrap();
    let table = Lake::with_store(url(), store.clone())
        .unwrap()
        .table(table.name())
        .await
        .unwrap();
    let error = table.append(append_of(0..5)).await.unwrap_err();
    assert!(
        matches!(error, AppendError::Commit(CommitError::Refused { .. })),
        "{error}"
    );
    assert!(store.data_files().await.is_empty());
    let rows_only = Append {
        covers: None,
        ..append_of(0..5)
    };
    committed(table.append(rows_only).await.unwrap());
}

async fn a_known_table_asks_nothing_of_the_bucket() {
    let (store, table) = faulty_table().await;
    let table = committed(table.append(append_of(0..5)).await.unwrap());
    table.files().await.unwrap();
    table.coverage().await.unwrap();
    store.requests();
    table.clone().files().await.unwrap();
    table.coverage().await.unwrap();
    table.at(table.version()).await.unwrap();
    assert_eq!(store.requests(), 0);
    table.refresh().await.unwrap();
    let asked = store.requests();
    assert!(asked <= 2, "an idle refresh made {asked} requests");
}

async fn a_checkpoint_is_written_every_hundred_commits() {
    let (store, mut table) = faulty_table().await;
    for slot in 0..100 {
        let append = Append {
            covers: Some(slots([slot * 2])),
            ..Append::default()
        };
        table = committed(table.append(append).await.unwrap());
    }
    assert_eq!(table.version(), 100);
    let hint = "faulty/signatures/_delta_log/_last_checkpoint".into();
    let hint = store.inner.get(&hint).await.unwrap().bytes().await.unwrap();
    let hint: serde_json::Value = serde_json::from_slice(&hint).unwrap();
    assert_eq!(hint["version"], 100);
    let lake = Lake::with_store(url(), store.clone()).unwrap();
    store.requests();
    let opened = lake.table(table.name()).await.unwrap();
    assert_eq!(opened.coverage().await.unwrap().ranges().len(), 100);
    let asked = store.requests();
    assert!(asked < 20, "opening the table made {asked} requests");
}
