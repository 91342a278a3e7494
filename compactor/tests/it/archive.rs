//! Files of old days in the archive.

use crate::fixture::{
    DAY, HOUR, all_rows, append, compactor, config, expected, logs, memory, name, over, small_files,
};
use object_store::{Attribute, ObjectStoreExt, memory::InMemory, path::Path};
use std::{sync::Arc, time::Duration};
use streamsync_compactor::{Claims, Compactor, OpenCompactorError, Silent};
use streamsync_core::{
    Slot,
    clock::ManualClock,
    config::{CompactorConfig, StorageClass},
};
use streamsync_lake::{Append, DataFile, Lake, Table};
use streamsync_testing::{Suite, row_lines};
use tokio_util::sync::CancellationToken;
use url::Url;

pub fn add_to(suite: &mut Suite) {
    suite.test("files of old days go to the archive", old_days);
    suite.test("late rows join those in the archive", late_rows);
    suite.test("a folder has no storage classes", no_classes);
    suite.needs_s3(
        "files of old days get another class over S3",
        |bucket| async move { whole(&Lake::open(&bucket).unwrap()).await },
    );
}

fn archiving(days: u32) -> CompactorConfig {
    CompactorConfig {
        archive_days: [("log_messages".to_owned(), days)].into(),
        archive_class: Some(StorageClass::StandardIa),
        ..config()
    }
}

fn never() -> CancellationToken {
    CancellationToken::new()
}

async fn files(table: &Table) -> Vec<DataFile> {
    table.files().await.unwrap().to_vec()
}

async fn class_of(store: &InMemory, file: &DataFile) -> Option<String> {
    let path = Path::from(format!("archive/log_messages/{}", file.path));
    let object = store.get(&path).await.unwrap();
    let class = object.attributes.get(&Attribute::StorageClass);
    class.map(|class| class.to_string())
}

async fn old_days() {
    let store = Arc::new(InMemory::new());
    let url = Url::parse("memory:///archive").unwrap();
    let lake = Lake::with_store(url, store.clone()).unwrap();
    whole(&lake).await;
    let table = lake.table(&name("log_messages")).await.unwrap();
    for file in files(&table).await {
        let expected = file.is_archived().then(|| "STANDARD_IA".to_owned());
        assert_eq!(class_of(&store, &file).await, expected, "{file:?}");
    }
}

/// Three days, of which the first is old enough.
async fn whole(lake: &Lake) {
    let table = small_files(lake, 0).await;
    let append = Append {
        batches: vec![logs(0..10_000)],
        covers: Some((0..10_000).map(Slot).collect()),
        transaction: None,
    };
    table.append(append).await.unwrap();
    let before = table.refresh().await.unwrap();
    let rows = expected(1_000);
    let midnight = (DAY as u64 + 11) * 86_400_000;
    for (now, archived) in [(midnight - 1, 0), (midnight, 1), (midnight, 1)] {
        let clock = Arc::new(ManualClock::at(now));
        let claims = Claims::Alone;
        let compactor =
            Compactor::open(lake.clone(), claims, archiving(10), clock, Arc::new(Silent)).unwrap();
        let planned = compactor.plan().await.unwrap()[0].archive.len();
        let report = compactor.once(&never()).await.unwrap();
        assert_eq!(report.failures, Vec::<String>::new());
        assert_eq!(report.archived, planned as u64);
        let table = table.refresh().await.unwrap();
        let files = files(&table).await;
        assert_eq!(
            files.iter().filter(|file| file.is_archived()).count(),
            archived
        );
        for file in files.iter().filter(|file| file.is_archived()) {
            assert!(file.path.starts_with("archive/date=2024-03-14/"));
            assert_eq!(file.partition["date"].as_deref(), Some("2024-03-14"));
            // All that queries prune by is known as before.
            let original = before.files().await.unwrap();
            let same = original.iter().find(|one| one.partition == file.partition);
            let same = same.unwrap();
            assert_eq!(
                (same.rows, same.size, &same.columns),
                (file.rows, file.size, &file.columns)
            );
        }
        assert_eq!(all_rows(&table).await, rows);
        // Who has pinned the version before reads on.
        assert_eq!(all_rows(&before).await, rows);
    }
    let status = compactor(lake, archiving(10), Duration::ZERO);
    let status = status.status().await.unwrap();
    assert!(status[0].archived_bytes > 0 && status[0].archived_bytes < status[0].bytes);
    // Nobody who follows what changes need look at it.
    let newest = table.refresh().await.unwrap();
    let changes = newest.changes_since(before.version()).await.unwrap();
    assert_eq!(changes, Some(Vec::new()));
}

async fn late_rows() {
    let lake = memory("archive-late");
    let config = |settled_after_s| CompactorConfig {
        settled_after_s,
        ..archiving(1)
    };
    let mut table = small_files(&lake, 5).await;
    for round in 0..6 {
        let now = compactor(&lake, config(0), Duration::ZERO);
        let report = now.once(&never()).await.unwrap();
        assert_eq!(report.failures, Vec::<String>::new());
        table = table.refresh().await.unwrap();
        let files = files(&table).await;
        assert!(files.iter().all(DataFile::is_archived), "{files:?}");
        // One file of all, until the last generation, which is not rewritten.
        assert!(files.len() <= 1 + round / 3 + 2, "{files:?}");
        assert_eq!(all_rows(&table).await, expected(5 + round as u64));
        table = append(&table, 5 + round as u64).await;
    }
    // Whatever was moved is deleted where it was.
    let later = compactor(&lake, config(0), 48 * HOUR);
    later.once(&never()).await.unwrap();
    assert!(later.plan().await.unwrap()[0].files.objects.is_empty());
    let table = table.refresh().await.unwrap();
    let mut lines = row_lines(&logs(0..110));
    lines.sort();
    assert_eq!(all_rows(&table).await, lines);
}

async fn no_classes() {
    let folder = tempfile::tempdir().unwrap();
    let lake = over(folder.path().to_str().unwrap().to_owned());
    let open = |config| {
        let clock = Arc::new(ManualClock::at(0));
        Compactor::open(lake.clone(), Claims::Alone, config, clock, Arc::new(Silent))
    };
    let error = open(archiving(1)).err().unwrap();
    assert!(
        matches!(error, OpenCompactorError::NoClasses { .. }),
        "{error}"
    );
    let plain = CompactorConfig {
        archive_class: None,
        ..archiving(1)
    };
    let table = small_files(&lake, 3).await;
    let report = open(plain).unwrap().once(&never()).await.unwrap();
    // It is 1970: nothing is old.
    assert_eq!(report.archived, 0);
    let plain = CompactorConfig {
        archive_class: None,
        ..archiving(1)
    };
    let report = compactor(&lake, plain, Duration::ZERO)
        .once(&never())
        .await
        .unwrap();
    assert_eq!(report.archived, 3, "{report}");
    assert_eq!(all_rows(&table.refresh().await.unwrap()).await, expected(3));
}
