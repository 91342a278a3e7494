//! Killed at every write.

use crate::fixture::{HOUR, all_rows, append, compactor, config, expected, name, small_files};
use object_store::memory::InMemory;
use std::sync::Arc;
use streamsync_core::config::CompactorConfig;
use streamsync_lake::Lake;
use streamsync_testing::{DyingStore, Suite};
use tokio_util::sync::CancellationToken;
use url::Url;

pub fn add_to(suite: &mut Suite) {
    suite.test(
        "a compactor killed at any write loses and doubles nothing",
        killed,
    );
}

/// Enough for merges of two generations, a checkpoint, and a log to clean.
const APPENDS: u64 = 16;

fn lake_on(store: Arc<dyn object_store::ObjectStore>) -> Lake {
    Lake::with_store(Url::parse("memory:///dying").unwrap(), store).unwrap()
}

/// A compactor that does all of its work: merges, an archive, a checkpoint, deletions.
fn config_of_all() -> CompactorConfig {
    CompactorConfig {
        // Several merges, of two generations.
        target_file_bytes: 8 << 10,
        merge_bytes: 8 << 10,
        fan_in: 3,
        checkpoint_commits: 10,
        archive_days: [("log_messages".to_owned(), 1)].into(),
        ..config()
    }
}

async fn copy_of(store: &Arc<InMemory>) -> Arc<InMemory> {
    Arc::new(store.fork())
}

async fn killed() {
    let origin = Arc::new(InMemory::new());
    let lake = lake_on(origin.clone());
    small_files(&lake, APPENDS).await;

    // How many writes there are in all.
    let whole = Arc::new(DyingStore::new(copy_of(&origin).await, usize::MAX));
    let later = compactor(&lake_on(whole.clone()), config_of_all(), 24 * HOUR);
    let report = later.once(&CancellationToken::new()).await.unwrap();
    let writes = usize::MAX - whole.left();
    assert!(
        report.merges > 1 && report.archived > 1 && report.checkpoints == 1 && report.deleted > 16,
        "{report}"
    );
    assert!(writes > 30, "{writes}");

    for at in 0..writes {
        let store = copy_of(&origin).await;
        let dying = Arc::new(DyingStore::new(store.clone(), at));
        let mut working = {
            let lake = lake_on(dying.clone());
            tokio::spawn(async move {
                let later = compactor(&lake, config_of_all(), 24 * HOUR);
                later.once(&CancellationToken::new()).await
            })
        };
        tokio::select! {
            () = dying.died() => {
                working.abort();
                let _ = working.await;
            }
            _ = &mut working => {}
        }

        // At once the rows are right, and an append finds its place.
        let lake = lake_on(store.clone());
        let table = lake.table(&name("log_messages")).await.unwrap();
        assert_eq!(
            all_rows(&table).await,
            expected(APPENDS),
            "killed at write {at}"
        );
        append(&table, APPENDS).await;
        // The next one goes on, and a vacuum leaves nothing that no version names.
        let later = compactor(&lake, config_of_all(), 48 * HOUR);
        let report = later.once(&CancellationToken::new()).await.unwrap();
        assert!(
            report.failures.is_empty(),
            "killed at write {at}: {report:?}"
        );
        let table = lake.table(&name("log_messages")).await.unwrap();
        assert_eq!(
            all_rows(&table).await,
            expected(APPENDS + 1),
            "killed at write {at}"
        );
        let plan = later.plan().await.unwrap();
        assert!(plan[0].merges.is_empty() && plan[0].files.objects.is_empty());
        assert!(plan[0].archive.is_empty());
        let named = table.files().await.unwrap().len();
        assert_eq!(data_files(&store).await, named, "killed at write {at}");
    }
}

async fn data_files(store: &InMemory) -> usize {
    use futures::StreamExt;
    use object_store::ObjectStore;
    let all = store.list(None);
    all.filter(|object| {
        let path = object.as_ref().unwrap().location.to_string();
        std::future::ready(path.ends_with(".zstd.parquet"))
    })
    .count()
    .await
}
