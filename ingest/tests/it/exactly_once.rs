//! However it is interrupted or doubled, every row is there once.

use crate::lake::{contents, counts, fill, folder, options};
use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};
use streamsync_ingest::{
    ingest,
    progress::{Progress, Silent},
    source::synthetic::Synthetic,
};
use streamsync_testing::Suite;
use tempfile::TempDir;
use tokio::sync::Barrier;

const TABLES: usize = 9;

/// Two full batches, and one that is not.
fn source() -> Synthetic {
    Synthetic::new(11, 10, 25)
}

pub fn add(suite: &mut Suite) {
    suite.test(
        "killed after any commit, the next ingest completes it",
        || async {
            let place = TempDir::new().unwrap();
            let whole = folder(place.path());
            let report = fill(&whole, source()).await;
            let commits = report.ingested.len().div_ceil(4) as usize * TABLES;
            assert_eq!(commits, 27);
            let expected = contents(&whole).await;
            assert!(expected.values().all(|rows| !rows.is_empty()));
            for last in 1..=commits {
                let place = TempDir::new().unwrap();
                let lake = folder(place.path());
                let killed = {
                    let (lake, progress) = (lake.clone(), Arc::new(KilledAfter::new(last)));
                    tokio::spawn(async move { ingest(source(), &lake, options(), progress).await })
                };
                let ended = killed.await;
                assert!(
                    ended.is_err_and(|end| end.is_panic()),
                    "was not killed at {last}"
                );
                let report = fill(&lake, source()).await;
                assert!(report.is_complete());
                assert!(
                    contents(&lake).await == expected,
                    "differs after a kill at commit {last}"
                );
                let again = fill(&lake, source()).await;
                assert_eq!(again.total_rows(), 0);
            }
        },
    );
    suite.test(
        "two ingests at the same time add every row once",
        || async {
            let place = TempDir::new().unwrap();
            let whole = folder(place.path());
            fill(&whole, source()).await;
            let expected = contents(&whole).await;
            let place = TempDir::new().unwrap();
            let path = place.path().to_owned();
            let barrier = Arc::new(Barrier::new(2));
            let both = [(), ()].map(|()| {
                let (path, barrier) = (path.clone(), barrier.clone());
                tokio::spawn(async move {
                    let lake = folder(&path);
                    barrier.wait().await;
                    ingest(source(), &lake, options(), Arc::new(Silent)).await
                })
            });
            let mut ingested = 0;
            let mut rows = 0;
            for one in both {
                let report = one.await.unwrap().unwrap();
                assert!(report.is_complete());
                ingested += report.ingested.len();
                rows += report.total_rows();
            }
            let lake = folder(&path);
            assert_eq!(contents(&lake).await, expected);
            assert_eq!(ingested, expected["blocks"].len() as u64);
            assert_eq!(rows, counts(&lake).await.values().sum::<u64>());
        },
    );
    suite.test(
        "overlapping ingests at the same time add every row once",
        || async {
            let place = TempDir::new().unwrap();
            let whole = folder(place.path());
            fill(&whole, Synthetic::new(11, 24, 25)).await;
            let expected = contents(&whole).await;
            let place = TempDir::new().unwrap();
            let path = place.path().to_owned();
            // Batches of different sizes, so that one finds some slots of its batch taken.
            let ingests = [3, 5].map(|max_batch_blocks| {
                let path = path.clone();
                tokio::spawn(async move {
                    let options = streamsync_ingest::IngestOptions {
                        max_batch_blocks,
                        ..options()
                    };
                    let lake = folder(&path);
                    ingest(Synthetic::new(11, 24, 25), &lake, options, Arc::new(Silent)).await
                })
            });
            for one in ingests {
                assert!(one.await.unwrap().unwrap().is_complete());
            }
            assert_eq!(contents(&folder(&path)).await, expected);
        },
    );
}

/// Dies after a number of commits, as a killed process does: nothing after it happens.
struct KilledAfter {
    left: AtomicUsize,
}

impl KilledAfter {
    fn new(commits: usize) -> Self {
        Self {
            left: AtomicUsize::new(commits),
        }
    }
}

impl Progress for KilledAfter {
    fn committed(&self, table: &str, _rows: u64) {
        if self.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            panic!("killed after a commit to {table}");
        }
    }
}
