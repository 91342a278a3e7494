//! Appending while the server fails.

use super::{Failure, Failures, inject, opened, proxied, rows_of_its_slots};
use crate::{
    conformance::lake,
    rows::{DAY, append_of, lines, log_messages, name},
};
use arrow::{array::RecordBatch, compute::concat_batches};
use futures::future::join_all;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use streamsync_core::config::BucketConfig;
use streamsync_lake::{Append, Appended, Lake, Table, TransactionId};
use streamsync_testing::Fault;

const WRITERS: u64 = 2;
const SLOTS: u64 = 12;

/// Appends a slot until it is there, each time from a new opening of the lake.
async fn append_until_there(bucket: &BucketConfig, slot: u64) -> Failures {
    let mut failures = Failures::default();
    loop {
        let attempt = async {
            let table = opened(bucket).await?;
            let mut append = append_of([slot]);
            append.transaction = Some(TransactionId {
                app_id: format!("slot {slot}"),
                version: 1,
            });
            Ok::<Appended, Failure>(table.append(append).await?)
        };
        match attempt.await {
            Ok(_) => return failures,
            Err(error) => failures.add(error.as_ref()),
        }
    }
}

/// Two writers and a reader: whoever reads sees the rows of the slots that are covered, and in the
/// end all of them are there once.
pub async fn appends_once(bucket: BucketConfig, fault: Fault) {
    lake(&bucket).await;
    let (proxy, through) = proxied(&bucket).await;
    inject(&proxy, fault, 17);
    let over = Arc::new(AtomicBool::new(false));
    let reading = {
        let (through, over) = (through.clone(), Arc::clone(&over));
        tokio::spawn(async move {
            let (mut reads, mut failures) = (0, Failures::default());
            while !over.load(Ordering::SeqCst) || reads < 3 {
                let read = async { rows_of_its_slots(&opened(&through).await?).await };
                match read.await {
                    Ok(_) => reads += 1,
                    Err(error) => failures.add(error.as_ref()),
                }
            }
        })
    };
    let writers = (0..WRITERS).map(|writer| {
        let through = through.clone();
        tokio::spawn(async move {
            for slot in (writer..SLOTS).step_by(WRITERS as usize) {
                append_until_there(&through, slot).await;
            }
        })
    });
    for writer in join_all(writers).await {
        writer.unwrap();
    }
    over.store(true, Ordering::SeqCst);
    reading.await.unwrap();
    assert!(proxy.injected() > 0, "{:?}", proxy.injected_by_kind());

    let table = opened(&bucket).await.unwrap();
    assert_eq!(rows_of_its_slots(&table).await.unwrap(), SLOTS);
    assert_eq!(table.version(), SLOTS, "a commit for each");
    proxy.heal();
    let table = opened(&through).await.unwrap();
    assert_eq!(rows_of_its_slots(&table).await.unwrap(), SLOTS);
}

/// Rows of random text, which make a file of more than one part and more than one download.
fn long_messages() -> RecordBatch {
    // A linear congruential generator: nothing that compresses well.
    let mut state = 5_u64;
    let mut letter = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b' ' + ((state >> 33) % 94) as u8)
    };
    let texts: Vec<String> = (0..14_000)
        .map(|_| (0..1_000).map(|_| letter()).collect())
        .collect();
    let rows: Vec<_> = texts
        .iter()
        .zip(0..)
        .map(|(text, slot)| (slot, Some(DAY), text.as_str()))
        .collect();
    log_messages(&rows)
}

async fn logs(bucket: &BucketConfig) -> Result<Table, Failure> {
    Ok(Lake::open(bucket)?.table(&name("log_messages")).await?)
}

/// A file of several parts goes up, and comes back as it was, in one piece and in several.
pub async fn large_files(bucket: BucketConfig, fault: Fault) {
    lake(&bucket).await;
    let (proxy, through) = proxied(&bucket).await;
    let rows = long_messages();
    inject(&proxy, fault, 23);
    let mut failures = Failures::default();
    loop {
        let append = Append {
            batches: vec![rows.clone()],
            transaction: Some(TransactionId {
                app_id: "large".to_owned(),
                version: 1,
            }),
            ..Append::default()
        };
        let attempt = async { Ok::<_, Failure>(logs(&through).await?.append(append).await?) };
        match attempt.await {
            Ok(_) => break,
            Err(error) => failures.add(error.as_ref()),
        }
    }
    let expected = lines(&rows);
    let whole = logs(&bucket).await.unwrap();
    let files = whole.files().await.unwrap();
    assert_eq!((whole.version(), files.len()), (1, 1));
    assert!(files[0].size > 8 << 20, "{}", files[0].size);
    let read = whole.read(&files[0]).await.unwrap();
    assert_eq!(
        lines(&concat_batches(&whole.schema(), &read).unwrap()),
        expected
    );

    let folder = tempfile::tempdir().unwrap();
    let download = async |table: &Table, to: &str| {
        let path = folder.path().join(to);
        let copy = std::fs::File::create(&path).unwrap();
        table.download(&files[0], copy).await?;
        Ok::<_, Failure>(std::fs::read(path).unwrap())
    };
    let bytes = download(&whole, "whole").await.unwrap();
    let mut done = 0;
    while done < 3 {
        let attempt = async {
            let table = logs(&through).await?;
            let copy = download(&table, "copy").await?;
            assert!(copy == bytes, "other bytes were downloaded");
            let read = table.read(&files[0]).await?;
            assert_eq!(lines(&concat_batches(&table.schema(), &read)?), expected);
            Ok::<_, Failure>(())
        };
        match attempt.await {
            Ok(()) => done += 1,
            Err(error) => failures.add(error.as_ref()),
        }
    }
    assert!(proxy.injected() > 0, "{:?}", proxy.injected_by_kind());
}
