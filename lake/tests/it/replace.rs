//! Replacing files: part of what every lake does.

use crate::{
    conformance::lake,
    rows::{all_rows, append_of, committed, lines, name, signatures},
};
use arrow::{array::RecordBatch, compute::concat_batches};
use streamsync_core::config::BucketConfig;
use streamsync_lake::{DataFile, Replace, Replaced, StagedFile, Table};

/// A table with several files in one partition.
async fn several_files(bucket: &BucketConfig, appends: u64) -> Table {
    let lake = lake(bucket).await;
    let mut table = lake.table(&name("signatures")).await.unwrap();
    for slot in 0..appends {
        table = committed(
            table
                .append(append_of(slot * 20..slot * 20 + 20))
                .await
                .unwrap(),
        );
    }
    table
}

/// The files of the partition that the first one is in.
pub async fn one_partition(table: &Table) -> Vec<DataFile> {
    let files = table.files().await.unwrap();
    let partition = &files[0].partition;
    let same = files.iter().filter(|file| file.partition == *partition);
    same.cloned().collect()
}

/// The rows of files in the order in which the table is merged, and of `more` files.
async fn sorted(table: &Table, files: &[DataFile]) -> RecordBatch {
    let mut batches = Vec::new();
    for file in files {
        batches.extend(table.read(file).await.unwrap());
    }
    let rows = concat_batches(&table.schema(), &batches).unwrap();
    let keys = table.definition().unwrap().order();
    let columns: Vec<_> = keys
        .map(|column| arrow::compute::SortColumn {
            values: rows.column_by_name(column).unwrap().clone(),
            options: None,
        })
        .collect();
    let order = arrow::compute::lexsort_to_indices(&columns, None).unwrap();
    arrow::compute::take_record_batch(&rows, &order).unwrap()
}

/// New files with the rows of these.
async fn staged(table: &Table, files: &[DataFile], target_bytes: u64) -> (Vec<StagedFile>, u64) {
    let rows = sorted(table, files).await;
    let mut writer = table
        .sorted_writer(&files[0].partition, 1, target_bytes)
        .await
        .unwrap();
    let mut made = Vec::new();
    let mut from = 0;
    while from < rows.num_rows() {
        let count = 1_000.min(rows.num_rows() - from);
        made.extend(writer.write(&rows.slice(from, count)).unwrap());
        from += count;
    }
    let (last, duplicates) = writer.finish().unwrap();
    made.extend(last);
    let mut staged = Vec::new();
    for file in made {
        staged.push(table.stage(file).await.unwrap());
    }
    (staged, duplicates)
}

pub async fn replacement(table: &Table, files: &[DataFile]) -> Replace {
    let (add, duplicates) = staged(table, files, u64::MAX).await;
    assert_eq!(duplicates, 0);
    Replace {
        remove: files.to_vec(),
        add,
        ..Replace::default()
    }
}

pub fn done(replaced: Replaced) -> Table {
    match replaced {
        Replaced::Committed(table) => table,
        Replaced::Superseded(table) => panic!("{table:?} was not changed"),
    }
}

pub async fn files_are_replaced_in_one_commit(bucket: BucketConfig) {
    let before = several_files(&bucket, 3).await;
    let files = one_partition(&before).await;
    let count = before.files().await.unwrap().len();
    let replace = replacement(&before, &files).await;
    let after = done(before.replace(replace).await.unwrap());
    assert_eq!(after.version(), before.version() + 1);
    assert_eq!(all_rows(&after).await, all_rows(&before).await);
    assert_eq!(
        after.coverage().await.unwrap(),
        before.coverage().await.unwrap()
    );
    let merged = after.files().await.unwrap();
    assert_eq!(merged.len(), count - files.len() + 1);
    let new = merged.iter().find(|file| file.generation() == 1).unwrap();
    assert_eq!(new.rows, files.iter().map(|file| file.rows).sum());
    // Statistics are those of all rows.
    let range = |file: &DataFile| {
        let known = &file.columns["signature"];
        (known.min.clone().unwrap(), known.max.clone().unwrap())
    };
    let (low, high) = range(new);
    for file in &files {
        let (min, max) = range(file);
        assert!(low <= min && high >= max);
    }
    // From the log alone, and at the version before.
    let read = after.at(before.version()).await.unwrap();
    assert_eq!(all_rows(&read).await, all_rows(&after).await);
    let footer = after.open_file(new).await.unwrap();
    assert!(footer.holds("signature"));
}

pub async fn replacing_what_is_gone_changes_nothing(bucket: BucketConfig) {
    let table = several_files(&bucket, 2).await;
    let files = one_partition(&table).await;
    let (one, other) = (
        replacement(&table, &files).await,
        replacement(&table, &files).await,
    );
    let (one, other) = tokio::join!(table.replace(one), table.replace(other));
    let after = match (one.unwrap(), other.unwrap()) {
        (Replaced::Committed(after), Replaced::Superseded(_))
        | (Replaced::Superseded(_), Replaced::Committed(after)) => after,
        both => panic!("one of two is done: {both:?}"),
    };
    let newest = after.refresh().await.unwrap();
    assert_eq!(newest.version(), table.version() + 1);
    assert_eq!(all_rows(&newest).await, all_rows(&table).await);
    // What the other has staged is deleted already: all that is left is old enough and named.
    let far = u64::MAX / 2;
    let unneeded = newest
        .unneeded_files(far, std::time::Duration::ZERO)
        .await
        .unwrap();
    assert_eq!(unneeded.objects.len(), files.len(), "{unneeded:?}");
}

pub async fn a_replacement_goes_on_top_of_appends(bucket: BucketConfig) {
    let table = several_files(&bucket, 2).await;
    let files = one_partition(&table).await;
    let replace = replacement(&table, &files).await;
    committed(table.append(append_of(900..910)).await.unwrap());
    let after = done(table.replace(replace).await.unwrap());
    assert_eq!(after.version(), table.version() + 2);
    let mut expected = all_rows(&table).await;
    expected.extend(lines(&signatures(900..910, 2)));
    expected.sort();
    assert_eq!(all_rows(&after).await, expected);
    assert_eq!(after.coverage().await.unwrap().len(), 50);
}

pub async fn a_replacement_of_the_whole_gives_way(bucket: BucketConfig) {
    let table = several_files(&bucket, 1).await;
    let files = one_partition(&table).await;
    let mut replace = replacement(&table, &files).await;
    replace.only_now = true;
    replace.domains = vec![("streamsync.test".to_owned(), "7".to_owned())];
    committed(table.append(append_of(900..901)).await.unwrap());
    let replaced = table.replace(replace.clone()).await.unwrap();
    let Replaced::Superseded(newest) = replaced else {
        panic!("it was computed from an older version");
    };
    assert_eq!(newest.version(), table.version() + 1);
    assert_eq!(newest.domain("streamsync.test").await.unwrap(), None);
    replace.remove = Vec::new();
    replace.add = Vec::new();
    let after = done(newest.replace(replace).await.unwrap());
    let kept = after.refresh().await.unwrap();
    assert_eq!(
        kept.domain("streamsync.test").await.unwrap().as_deref(),
        Some("7")
    );
    assert_eq!(kept.coverage().await.unwrap().len(), 21);
}

pub async fn rows_written_twice_are_left_out(bucket: BucketConfig) {
    let table = several_files(&bucket, 1).await;
    let expected = all_rows(&table).await;
    let mut again = append_of(0..20);
    again.covers = None;
    let table = committed(table.append(again).await.unwrap());
    assert_eq!(all_rows(&table).await.len(), 2 * expected.len());
    let all = table.files().await.unwrap();
    let mut left_out = 0;
    let mut newest = table.clone();
    let partitions: std::collections::BTreeSet<_> =
        all.iter().map(|file| file.partition.clone()).collect();
    for partition in partitions {
        let files: Vec<_> = all
            .iter()
            .filter(|file| file.partition == partition)
            .cloned()
            .collect();
        let (add, duplicates) = staged(&table, &files, u64::MAX).await;
        left_out += duplicates;
        let replace = Replace {
            remove: files,
            add,
            data_change: true,
            ..Replace::default()
        };
        newest = done(newest.replace(replace).await.unwrap());
    }
    assert_eq!(left_out as usize, expected.len());
    assert_eq!(all_rows(&newest).await, expected);
}

pub async fn files_are_cut_at_the_target_size(bucket: BucketConfig) {
    let lake = lake(&bucket).await;
    let table = lake.table(&name("log_messages")).await.unwrap();
    let messages: Vec<String> = (0..60_000)
        .map(|number: u64| format!("{:x}", number.wrapping_mul(0x9E37_79B9_7F4A_7C15)))
        .collect();
    let rows: Vec<_> = messages
        .iter()
        .enumerate()
        .map(|(slot, message)| (slot as u64, Some(0), message.as_str()))
        .collect();
    let append = streamsync_lake::Append {
        batches: vec![crate::rows::log_messages(&rows)],
        ..Default::default()
    };
    let table = committed(table.append(append).await.unwrap());
    let files = one_partition(&table).await;
    let target = files[0].size / 3;
    let (add, _) = staged(&table, &files, target).await;
    assert!(add.len() > 2, "{add:?}");
    assert_eq!(add.iter().map(StagedFile::rows).sum::<u64>(), 60_000);
    assert!(add.iter().all(|file| file.bytes() < 2 * target));
    let replace = Replace {
        remove: files,
        add,
        ..Replace::default()
    };
    let after = done(table.replace(replace).await.unwrap());
    assert_eq!(all_rows(&after).await, all_rows(&table).await);
    // In order, so that none overlaps another.
    let mut slots: Vec<_> = after
        .files()
        .await
        .unwrap()
        .iter()
        .map(|file| file.columns["slot"].clone())
        .collect();
    slots.sort_by(|one, other| one.min.partial_cmp(&other.min).unwrap());
    for pair in slots.windows(2) {
        assert!(pair[0].max < pair[1].min);
    }
}

pub async fn changes_are_told_from_rewrites(bucket: BucketConfig) {
    let table = several_files(&bucket, 2).await;
    let files = one_partition(&table).await;
    let merged = done(
        table
            .replace(replacement(&table, &files).await)
            .await
            .unwrap(),
    );
    let changes = merged.changes_since(0).await.unwrap().unwrap();
    let versions: Vec<u64> = changes.iter().map(|commit| commit.version).collect();
    assert_eq!(versions, [1, 2]);
    assert!(!changes[0].removed);
    assert!(changes[0].added[0].columns.contains_key("slot"));
    assert_eq!(merged.changes_since(2).await.unwrap(), Some(Vec::new()));
    let deleted = Replace {
        remove: one_partition(&merged).await,
        data_change: true,
        ..Replace::default()
    };
    let after = done(merged.replace(deleted).await.unwrap());
    let changes = after
        .changes_since(merged.version())
        .await
        .unwrap()
        .unwrap();
    assert!(changes[0].removed && changes[0].added.is_empty());
}
