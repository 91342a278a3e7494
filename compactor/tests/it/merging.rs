//! Merging, retention, checkpoints and vacuum.

use crate::fixture::{
    DAY, HOUR, all_rows, append, compactor, config, expected, logs, memory, name, small_files,
};
use std::time::Duration;
use streamsync_compactor::{Claims, Compactor, OpenCompactorError, Silent};
use streamsync_core::{Slot, clock::ManualClock, config::CompactorConfig};
use streamsync_lake::{Append, Appended, Lake};
use streamsync_testing::{Suite, row_lines};
use tokio_util::sync::CancellationToken;

pub fn add_to(suite: &mut Suite) {
    suite.test("small files become few, with the same rows", small);
    suite.test("merged files are sorted", sorted);
    suite.test("rows that were written twice are there once", duplicates);
    suite.test("what there is to do is told before it is done", planned);
    suite.test("old days are deleted, others stay", retention);
    suite.test(
        "a table that cannot lose its old rows is named",
        wrong_table,
    );
    suite.test("a stopped merge leaves nothing behind", stopped);
    suite.test("checkpoints and log entries are looked after", log);
    suite.needs_s3("merging works over S3", |bucket| async move {
        whole(&Lake::open(&bucket).unwrap()).await;
    });
}

fn never() -> CancellationToken {
    CancellationToken::new()
}

async fn small() {
    whole(&memory("small")).await;
}

async fn whole(lake: &Lake) {
    let before = small_files(lake, 30).await;
    assert_eq!(before.files().await.unwrap().len(), 30);
    let now = compactor(lake, config(), Duration::ZERO);
    let report = now.once(&never()).await.unwrap();
    assert_eq!(report.failures, Vec::<String>::new());
    assert!(report.merges > 0 && report.deleted == 0, "{report}");

    let after = lake.table(&name("log_messages")).await.unwrap();
    let files = after.files().await.unwrap();
    assert!(files.len() < 4, "{files:?}");
    assert!(files.iter().any(|file| file.generation() > 0));
    assert_eq!(all_rows(&after).await, expected(30));
    assert_eq!(after.coverage().await.unwrap().len(), 300);
    // Whoever has pinned the version before reads on, within the promise.
    assert_eq!(all_rows(&before).await, expected(30));
    // Nothing changed, and so nothing is to be done.
    let again = now.once(&never()).await.unwrap();
    assert_eq!(again, Default::default());

    // The next day, the old files are gone.
    let later = compactor(lake, config(), 24 * HOUR);
    let report = later.once(&never()).await.unwrap();
    assert_eq!(report.deleted, 30, "{report}");
    assert_eq!(all_rows(&after).await, expected(30));
    // More comes, and is merged with what is not yet merged enough.
    let mut table = after;
    for number in 30..60 {
        table = append(&table, number).await;
    }
    let report = later.once(&never()).await.unwrap();
    assert!(report.merges > 0, "{report}");
    let table = table.refresh().await.unwrap();
    assert_eq!(all_rows(&table).await, expected(60));
    assert!(table.files().await.unwrap().len() < 8);
}

async fn sorted() {
    let lake = memory("sorted");
    small_files(&lake, 40).await;
    let config = CompactorConfig {
        fan_in: 40,
        ..config()
    };
    let merged = compactor(&lake, config, Duration::ZERO);
    let report = merged.once(&never()).await.unwrap();
    assert_eq!((report.merges, report.files_in), (1, 40), "{report}");
    let table = lake.table(&name("log_messages")).await.unwrap();
    let mut files = table.files().await.unwrap().to_vec();
    let low = |file: &streamsync_lake::DataFile| file.columns["slot"].min.clone().unwrap();
    files.sort_by(|one, other| low(one).partial_cmp(&low(other)).unwrap());
    let mut all = Vec::new();
    for file in &files {
        for rows in table.read(file).await.unwrap() {
            all.extend(row_lines(&rows));
        }
    }
    assert_eq!(all, row_lines(&logs(0..400)));
}

async fn duplicates() {
    let lake = memory("duplicates");
    let mut table = small_files(&lake, 4).await;
    for _ in 0..4 {
        let again = Append {
            batches: vec![logs(5..15)],
            ..Append::default()
        };
        table.append(again).await.unwrap();
        table = table.refresh().await.unwrap();
    }
    assert_eq!(all_rows(&table).await.len(), 120 + 4 * 30);
    let merged = compactor(&lake, config(), Duration::ZERO);
    let report = merged.once(&never()).await.unwrap();
    assert_eq!(report.duplicates, 120, "{report}");
    let after = table.refresh().await.unwrap();
    assert_eq!(all_rows(&after).await, expected(4));
    // The rows are others than before, and whoever follows changes is told.
    let changes = after.changes_since(table.version()).await.unwrap().unwrap();
    assert!(changes.iter().any(|commit| commit.removed));
}

async fn planned() {
    let lake = memory("planned");
    let table = small_files(&lake, 6).await;
    let now = compactor(&lake, config(), Duration::ZERO);
    let plan = now.plan().await.unwrap();
    assert_eq!(plan[0].merges[0].files.len(), 6);
    assert_eq!(plan[0].merges[0].generation, 1);
    let status = now.status().await.unwrap();
    assert_eq!((status[0].files, status[0].partitions), (6, 1));
    assert_eq!(status[0].waiting_bytes, status[0].bytes);
    assert_eq!(status[0].rewrites, 0.0);
    assert_eq!(table.refresh().await.unwrap().version(), table.version());

    now.once(&never()).await.unwrap();
    let status = now.status().await.unwrap();
    assert_eq!((status[0].files, status[0].waiting_bytes), (1, 0));
    assert_eq!(status[0].rewrites, 1.0);
    let plan = compactor(&lake, config(), 24 * HOUR).plan().await.unwrap();
    assert_eq!(plan[0].files.objects.len(), 6);
}

async fn retention() {
    let lake = memory("retention");
    // Slots are 20 s apart: these are of the days DAY, DAY + 1 and DAY + 2.
    let table = small_files(&lake, 0).await;
    let append = Append {
        batches: vec![logs(0..10_000)],
        covers: Some((0..10_000).map(Slot).collect()),
        transaction: None,
    };
    table.append(append.clone()).await.unwrap();
    let days = |rows: &[String]| {
        let mut days: Vec<String> = rows.iter().map(|row| row[..10].to_owned()).collect();
        days.dedup();
        days
    };
    let all = expected(1_000);
    assert_eq!(days(&all), ["2024-03-14", "2024-03-15", "2024-03-16"]);
    let config = CompactorConfig {
        keep_days: [("log_messages".to_owned(), 10)].into(),
        promise_s: 3_600,
        ..config()
    };
    // Ten days after the end of the first day, to the millisecond.
    let midnight = (DAY as u64 + 11) * 86_400_000;
    for (now, kept) in [(midnight - 1, 3), (midnight, 2)] {
        let clock = std::sync::Arc::new(ManualClock::at(now));
        let compactor = Compactor::open(
            lake.clone(),
            Claims::Alone,
            config.clone(),
            clock,
            std::sync::Arc::new(Silent),
        )
        .unwrap();
        compactor.once(&never()).await.unwrap();
        let rows = all_rows(&table.refresh().await.unwrap()).await;
        assert_eq!(days(&rows).len(), kept);
        let expected: Vec<_> = all
            .iter()
            .filter(|row| kept == 3 || !row.starts_with("2024-03-14"))
            .collect();
        assert!(rows.iter().eq(expected));
    }
    // The slots are not ingested again.
    let again = table.append(append).await.unwrap();
    assert!(matches!(again, Appended::AlreadyThere { .. }));
}

async fn wrong_table() {
    let open = |table: &str| {
        let config = CompactorConfig {
            keep_days: [(table.to_owned(), 1)].into(),
            ..config()
        };
        let clock = std::sync::Arc::new(ManualClock::at(0));
        Compactor::open(
            memory("wrong"),
            Claims::Alone,
            config,
            clock,
            std::sync::Arc::new(Silent),
        )
        .err()
        .unwrap()
    };
    assert!(matches!(
        open("signatures"),
        OpenCompactorError::NotByDate { .. }
    ));
    assert!(matches!(
        open("sinatures"),
        OpenCompactorError::NoTable { .. }
    ));
}

async fn stopped() {
    let lake = memory("stopped");
    let table = small_files(&lake, 6).await;
    let stop = never();
    stop.cancel();
    let now = compactor(&lake, config(), Duration::ZERO);
    assert!(now.once(&stop).await.is_err());
    now.run(&stop).await;
    assert_eq!(table.refresh().await.unwrap().version(), table.version());
    assert_eq!(all_rows(&table).await, expected(6));
}

async fn log() {
    let lake = memory("log");
    // Ingest writes a checkpoint every hundred commits, too.
    let table = small_files(&lake, 250).await;
    let later = compactor(&lake, config(), 24 * HOUR);
    let report = later.once(&never()).await.unwrap();
    assert!(report.deleted > 200, "{report}");
    let opened = lake.table(&name("log_messages")).await.unwrap();
    assert_eq!(opened.last_checkpoint(), Some(200));
    assert!(lake.table_at(&name("log_messages"), 10).await.is_err());
    assert_eq!(all_rows(&opened).await, expected(250));
    assert_eq!(opened.coverage().await.unwrap().len(), 2_500);
    let again = append(&table, 3).await;
    assert_eq!(all_rows(&again).await, expected(250));
}
