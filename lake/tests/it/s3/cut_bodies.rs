//! A server that leaves out the end of an answer and does not say so.

use super::{Failure, opened, proxied, rows_of_its_slots};
use crate::{
    conformance::lake,
    rows::{append_of, committed, lines, name},
};
use arrow::{array::RecordBatch, compute::concat_batches};
use futures::TryStreamExt;
use streamsync_core::config::BucketConfig;
use streamsync_lake::{DataFile, Lake, Table};
use streamsync_testing::{Cut, Fault, Rule, S3Proxy};

/// Rows enough for several pages.
const SLOTS: u64 = 3_000;

/// A table of so many slots, each appended by a commit of its own.
async fn table_of(bucket: &BucketConfig, slots: u64) -> Table {
    let lake = lake(bucket).await;
    let mut table = lake.table(&name("signatures")).await.unwrap();
    for slot in 0..slots {
        table = committed(table.append(append_of([slot])).await.unwrap());
    }
    table
}

/// All rows of a file, read in each of the ways in which a worker reads.
async fn in_every_way(table: &Table, file: &DataFile) -> [Result<Vec<RecordBatch>, Failure>; 4] {
    let by_page = async {
        let open = table.open_file(file).await?;
        let mut rows = Vec::new();
        for page in open.pages() {
            rows.push(open.read(page).await?);
        }
        Ok(rows)
    };
    let streamed = async {
        let open = table.open_file(file).await?;
        let columns: Vec<usize> = (0..table.schema().fields().len()).collect();
        let groups = open.row_groups(None, &[]);
        let rows = open.stream(groups, &columns, 1_000)?;
        Ok(rows.try_collect().await?)
    };
    let copied = async {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("copy");
        table.download(file, std::fs::File::create(&path)?).await?;
        let open = table.open_copy(file, &path).await?.copied_to(&path)?;
        let mut rows = Vec::new();
        for page in open.pages() {
            rows.push(open.read(page).await?);
        }
        Ok(rows)
    };
    let whole = async { Ok(table.read(file).await?) };
    [whole.await, by_page.await, streamed.await, copied.await]
}

/// Cuts of every answer, of each of the requests alone, and at many places.
fn shortened(proxy: &S3Proxy, path: &str, cut: Cut, which: usize) {
    proxy.heal();
    let rule = Rule::new(Fault::Shortened(cut)).path(path);
    proxy.inject(match which {
        0 => rule,
        n => rule.every(n + 1),
    });
}

const CUTS: [Cut; 8] = [
    Cut::After(0),
    Cut::After(4),
    Cut::Percent(10),
    Cut::Percent(50),
    Cut::Percent(75),
    Cut::Percent(90),
    Cut::Percent(99),
    Cut::LastLine,
];

pub async fn a_shortened_data_file_never_gives_wrong_rows(bucket: BucketConfig) {
    let table = lake(&bucket)
        .await
        .table(&name("signatures"))
        .await
        .unwrap();
    let table = committed(table.append(append_of(0..SLOTS)).await.unwrap());
    let (proxy, through) = proxied(&bucket).await;
    let whole = opened(&through).await.unwrap();
    let file = &table.files().await.unwrap()[0];
    let expected = table.read(file).await.unwrap();
    let expected = lines(&concat_batches(&table.schema(), &expected).unwrap());
    let (mut right, mut refused) = (0, 0);
    for cut in CUTS {
        for which in 0..3 {
            shortened(&proxy, ".zstd.parquet", cut, which);
            for rows in in_every_way(&whole, file).await {
                match rows {
                    Ok(rows) => {
                        let rows = concat_batches(&table.schema(), &rows).unwrap();
                        assert_eq!(lines(&rows), expected, "{cut:?} {which}");
                        right += 1;
                    }
                    Err(error) => {
                        let text = streamsync_core::with_causes(error.as_ref());
                        assert!(text.contains(&file.path), "{cut:?} {which}: {text}");
                        refused += 1;
                    }
                }
            }
        }
    }
    assert!(
        proxy.injected() > 0 && refused > 0,
        "{right} right, {refused} refused"
    );
}

/// Opens the table through the proxy for each cut of what has this in its path: the newest version
/// has to be what it is, or not to be had. In any case nobody may write on top of half a log.
async fn right_or_refused(bucket: &BucketConfig, slots: u64, path: &str) {
    let (proxy, through) = proxied(bucket).await;
    for cut in CUTS {
        shortened(&proxy, path, cut, 0);
        let read = async {
            let table = opened(&through).await?;
            rows_of_its_slots(&table).await
        };
        if let Ok(found) = read.await {
            assert_eq!(found, slots, "slots are missing: {cut:?} of {path}");
        }
    }
    assert!(proxy.injected() > 0);
    proxy.heal();
    let table = opened(&through).await.unwrap();
    assert_eq!(rows_of_its_slots(&table).await.unwrap(), slots);
}

pub async fn a_shortened_log_never_gives_wrong_rows(bucket: BucketConfig) {
    table_of(&bucket, 3).await;
    right_or_refused(&bucket, 3, "_delta_log/00000000000000000003.json").await;
}

pub async fn a_shortened_checkpoint_never_gives_wrong_rows(bucket: BucketConfig) {
    let table = table_of(&bucket, 3).await;
    table.checkpoint().await.unwrap();
    right_or_refused(&bucket, 3, "checkpoint.parquet").await;
    right_or_refused(&bucket, 3, "_last_checkpoint").await;
}

pub async fn a_shortened_list_is_no_empty_lake(bucket: BucketConfig) {
    table_of(&bucket, 1).await;
    let (proxy, through) = proxied(&bucket).await;
    for cut in CUTS {
        shortened(&proxy, "list-type", cut, 0);
        let lake = Lake::open(&through).unwrap();
        if let Ok(names) = lake.table_names().await {
            assert!(!names.is_empty(), "{cut:?}");
        }
        if let Ok(table) = opened(&through).await {
            assert_eq!(rows_of_its_slots(&table).await.unwrap(), 1, "{cut:?}");
        }
        // Whoever believes that there is nothing creates the tables anew; the log forbids it.
        let _ = lake.create_tables().await;
    }
    assert!(proxy.injected() > 0);
    let table = opened(&bucket).await.unwrap();
    assert_eq!(
        (table.version(), rows_of_its_slots(&table).await.unwrap()),
        (1, 1)
    );
}

pub async fn a_list_that_breaks_off_is_asked_for_again(bucket: BucketConfig) {
    table_of(&bucket, 1).await;
    let (proxy, through) = proxied(&bucket).await;
    let half = Cut::Percent(50);
    for (before, fault) in [
        Fault::Reset(half),
        Fault::Truncated(half),
        Fault::Shortened(half),
        Fault::Shortened(Cut::After(0)),
    ]
    .into_iter()
    .enumerate()
    {
        proxy.heal();
        let rule = Rule::new(fault.clone()).path("list-type");
        proxy.inject(rule.first(1));
        let table = opened(&through).await.unwrap();
        assert_eq!(rows_of_its_slots(&table).await.unwrap(), 1, "{fault:?}");
        assert_eq!(proxy.injected(), before + 1, "{fault:?}");
    }
}
