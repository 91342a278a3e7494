//! The journal: what it writes, what is there after a kill, and what a Redis that lost it is told.
#![allow(clippy::unwrap_used)]

use super::*;
use std::sync::Arc;
use streamsync_core::{Amount, Class, KeyId, Promise, QueryId, Split, clock::ManualClock};
use tempfile::TempDir;

fn receipt(charged: u64) -> Receipt {
    let worker = Identity::from_seed([1; 32]).id();
    Receipt {
        router: worker,
        number: 0,
        at_ms: 1,
        query: QueryId::new(&ManualClock::at(1), [3; 10]),
        client: "acme".parse().unwrap(),
        key: KeyId::new([1; 16]),
        class: Class::Lookup,
        snapshot: Default::default(),
        digest: "07".repeat(32).parse().unwrap(),
        rows: 1,
        price: Amount(charged),
        charged: Amount(charged),
        promise: Promise::None,
        latency_us: 1,
        winner: worker,
        verifiers: Vec::new(),
        dissenters: Vec::new(),
        split: Split::new(Amount(charged), 0),
    }
}

fn open(folder: &TempDir, waiting: u64) -> Journal {
    open_by(folder, waiting, u64::MAX, Arc::new(ManualClock::at(1)))
}

fn open_by(folder: &TempDir, waiting: u64, recorded: u64, clock: SharedClock) -> Journal {
    let limits = Limits { waiting, recorded };
    Journal::open(folder.path(), limits, clock).unwrap()
}

fn progress(recorded: u64, settled: u64, charged: u64) -> ReceiptProgress {
    ReceiptProgress {
        recorded,
        settled,
        charged,
    }
}

async fn all(journal: &Journal) -> Vec<(u64, u64, Vec<u64>)> {
    let mut batches = Vec::new();
    while let Some((process, first, debits)) = journal.next_batch().await.unwrap() {
        let charged: Vec<u64> = debits.iter().map(|debit| debit.charged.0).collect();
        journal.state().told = Some(first + charged.len() as u64 - 1);
        batches.push((process, first, charged));
    }
    batches
}

#[tokio::test]
async fn numbers_go_on_and_nothing_is_lost() {
    let folder = TempDir::new().unwrap();
    let first = open(&folder, u64::MAX);
    let router = first.router();
    for charged in [5, 6, 7] {
        let signed = first.write(receipt(charged)).unwrap();
        assert!(signed.is_genuine() && signed.receipt.router == router);
    }
    assert_eq!(first.waiting(), 3);
    // Killed without a farewell.
    drop(first);
    let second = open(&folder, u64::MAX);
    assert_eq!(second.router(), router, "the key pair stays");
    assert_eq!(second.write(receipt(8)).unwrap().receipt.number, 4);
    assert_eq!(second.waiting(), 4);
    assert_ne!(second.holder(), format!("{router}.1"));
    // What Redis has already is not told again, and each process's receipts are told as its own.
    second.state().told = Some(1);
    assert_eq!(all(&second).await, [(1, 2, vec![6, 7]), (2, 4, vec![8])]);
    assert_eq!(second.waiting(), 0);
}

#[tokio::test]
async fn a_line_that_was_not_finished_is_of_an_answer_that_nobody_got() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder, u64::MAX);
    journal.write(receipt(5)).unwrap();
    journal.write(receipt(6)).unwrap();
    let path = journal.state().segments[0].path.clone();
    drop(journal);
    let whole = std::fs::read(&path).unwrap();
    let first_line = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    // Killed at any byte of the second line.
    for length in first_line..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let journal = open(&folder, u64::MAX);
        assert_eq!(std::fs::metadata(&path).unwrap().len(), first_line as u64);
        assert_eq!(all(&journal).await, [(1, 1, vec![5])]);
    }
    let journal = open(&folder, u64::MAX);
    assert_eq!(journal.write(receipt(7)).unwrap().receipt.number, 2);
}

#[tokio::test]
async fn many_receipts_are_told_in_order_from_memory_and_from_files() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder, u64::MAX);
    let count = RECENT as u64 + 700;
    for charged in 1..=count {
        journal.write(receipt(charged)).unwrap();
    }
    let told: Vec<u64> = all(&journal)
        .await
        .into_iter()
        .flat_map(|batch| batch.2)
        .collect();
    assert_eq!(told, (1..=count).collect::<Vec<_>>());
}

#[test]
fn a_full_spool_and_a_damaged_file_are_told() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder, 10);
    journal.write(receipt(5)).unwrap();
    assert!(matches!(
        journal.write(receipt(6)),
        Err(JournalError::Full { .. })
    ));
    let path = journal.state().segments[0].path.clone();
    drop(journal);
    std::fs::write(&path, "{}\n").unwrap();
    let journal = open(&folder, u64::MAX);
    let segment = journal.state().segments[0].clone();
    assert!(matches!(
        journal_file::read(&segment, 1, 10),
        Err(JournalError::Damaged { line: 1, .. })
    ));
}

/// A disk that takes no more bytes, as `/dev/full` has it: nothing is half written.
#[cfg(target_os = "linux")]
#[test]
fn a_disk_without_room_is_told_and_the_next_receipt_has_the_same_number() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder, u64::MAX);
    journal.write(receipt(5)).unwrap();
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let full = Open {
        file: full,
        since: Duration::ZERO,
        synced: (Duration::ZERO, 1),
    };
    let kept = journal.state().open.replace(full);
    assert!(matches!(
        journal.write(receipt(6)),
        Err(JournalError::File { .. })
    ));
    let mut state = journal.state();
    state.open = kept;
    state.broken = false;
    drop(state);
    assert_eq!(journal.write(receipt(6)).unwrap().receipt.number, 2);
}

/// A folder from a backup goes on with numbers that Redis has: nothing may be charged under them.
#[test]
fn an_old_copy_of_the_folder_is_noticed() {
    let folder = TempDir::new().unwrap();
    let journal = open(&folder, u64::MAX);
    journal.write(receipt(5)).unwrap();
    assert!(matches!(
        journal.learn(progress(2, 0, 0)),
        Err(JournalError::OldCopy { told: 2, .. })
    ));
    // Also if only the settlement knows, or a backup.
    for known in [progress(0, 2, 0), progress(0, 0, 2)] {
        assert!(matches!(
            open(&folder, u64::MAX).learn(known),
            Err(JournalError::OldCopy { told: 2, .. })
        ));
    }
    assert!(matches!(
        journal.write(receipt(6)),
        Err(JournalError::Broken)
    ));
    let journal = open(&folder, u64::MAX);
    journal.learn(progress(1, 0, 1)).unwrap();
    assert_eq!(journal.write(receipt(6)).unwrap().receipt.number, 2);
}

/// What an earlier process held is given back once all of its receipts are told, and again if this
/// one dies before the files are gone.
#[test]
fn earlier_processes_end_when_their_receipts_are_told() {
    let folder = TempDir::new().unwrap();
    open(&folder, u64::MAX).write(receipt(5)).unwrap();
    open(&folder, u64::MAX).write(receipt(6)).unwrap();
    for _ in 0..2 {
        let third = open(&folder, u64::MAX);
        assert!(third.ended().is_empty());
        third.learn(progress(1, 0, 0)).unwrap();
        assert_eq!(third.ended(), [1].into());
        third.state().told = Some(2);
        assert_eq!(third.ended(), [1, 2].into());
        third.state().segments[0].ended = true;
        assert_eq!(third.ended(), [2].into());
    }
}

/// All numbers that Redis has, in its order.
async fn recorded(registry: &Registry) -> Vec<u64> {
    let filed = registry.receipts(None, 1_000).await.unwrap();
    let numbers = filed.iter().map(|filed| {
        let signed: SignedReceipt = serde_json::from_str(&filed.receipt).unwrap();
        signed.receipt.number
    });
    numbers.collect()
}

async fn tell(journal: &Journal, registry: &Registry) {
    let told = async || journal.tell(registry).await.is_ok();
    streamsync_testing::eventually(Duration::from_secs(20), told).await;
}

#[tokio::test]
async fn a_redis_that_has_lost_receipts_is_told_them_again() {
    let mut redis = streamsync_testing::Redis::start().await;
    let config = streamsync_core::config::RedisConfig {
        url: redis.url().parse().unwrap(),
        ..Default::default()
    };
    let registry = Registry::connect(&config).await.unwrap();
    let folder = TempDir::new().unwrap();
    let clock = Arc::new(ManualClock::at(1));
    let journal = open_by(&folder, u64::MAX, u64::MAX, clock.clone());
    for charged in [5, 6, 7] {
        journal.write(receipt(charged)).unwrap();
        // A file each.
        clock.advance(CLOSED_AFTER);
        journal.close().await.unwrap();
    }
    tell(&journal, &registry).await;
    journal.forget(&registry).await.unwrap();
    assert_eq!(journal.state().segments.len(), 3, "nothing is settled");

    // With something new to tell, and without.
    redis.kill().await;
    redis.restart().await;
    journal.write(receipt(8)).unwrap();
    tell(&journal, &registry).await;
    assert_eq!(recorded(&registry).await, [1, 2, 3, 4]);
    redis.kill().await;
    redis.restart().await;
    clock.advance(ASKED_EVERY);
    tell(&journal, &registry).await;
    assert_eq!(recorded(&registry).await, [1, 2, 3, 4]);

    // What is settled is deleted, and not missed by a Redis that has lost it.
    let router = journal.router();
    registry.note_settled(&[(router, 2)].into()).await.unwrap();
    registry.note_settled(&[(router, 1)].into()).await.unwrap();
    clock.advance(ASKED_EVERY);
    tell(&journal, &registry).await;
    journal.forget(&registry).await.unwrap();
    assert_eq!(journal.oldest(), 3);
    redis.kill().await;
    redis.restart().await;
    clock.advance(ASKED_EVERY);
    tell(&journal, &registry).await;
    assert_eq!(recorded(&registry).await, [3, 4]);

    // Killed, and Redis empty as well.
    drop(journal);
    redis.kill().await;
    redis.restart().await;
    let journal = open_by(&folder, u64::MAX, u64::MAX, clock.clone());
    journal.write(receipt(9)).unwrap();
    tell(&journal, &registry).await;
    assert_eq!(recorded(&registry).await, [3, 4, 5]);
    assert_eq!(registry.receipt_progress(router).await.unwrap().recorded, 5);

    // A file that is gone from between others is told, and not passed over.
    let (lost, kept) = {
        let lost = journal.state().segments[1].path.clone();
        let kept = std::fs::read(&lost).unwrap();
        std::fs::remove_file(&lost).unwrap();
        (lost, kept)
    };
    drop(journal);
    redis.kill().await;
    redis.restart().await;
    let journal = open_by(&folder, u64::MAX, u64::MAX, clock.clone());
    let missing = async || {
        let told = journal.tell(&registry).await;
        matches!(told, Err(JournalError::Missing { from: 4, to: 4, .. }))
    };
    streamsync_testing::eventually(Duration::from_secs(20), missing).await;
    drop(journal);
    std::fs::write(lost, kept).unwrap();
    let journal = open_by(&folder, u64::MAX, u64::MAX, clock.clone());
    tell(&journal, &registry).await;
    assert_eq!(recorded(&registry).await, [3, 4, 5]);
    drop(journal);

    // Not more than there is room for, though nothing is settled.
    let journal = open_by(&folder, u64::MAX, 1, clock);
    tell(&journal, &registry).await;
    journal.forget(&registry).await.unwrap();
    assert_eq!(journal.oldest(), 5);
}
