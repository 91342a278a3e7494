//! What a lake does, whatever it is kept in: written once, run over each.

use crate::outcome::{Outcome, note};
use crate::rows::{
    DAY, all_rows, append_of, committed, lines, log_messages, name, signatures, slots,
};
use crate::{exactly_once::*, replace::*, vacuum::*};
use arrow::{
    array::AsArray,
    compute::concat_batches,
    datatypes::{Int64Type, SchemaRef},
};
use futures::future::join_all;
use std::{collections::BTreeSet, sync::Arc};
use streamsync_core::config::BucketConfig;
use streamsync_lake::{
    Append, AppendError, Appended, Constraint, ConstraintOp, Lake, OpenTableError, Scalar,
    TransactionId, prune, tables,
};
use streamsync_testing::Suite;

/// Adds each behaviour three times: over a folder, in memory and over S3.
pub fn add(suite: &mut Suite) {
    macro_rules! behaviours {
        ($($behaviour:ident,)*) => {$(
            let behaviour = stringify!($behaviour);
            suite.test(&format!("folder::{behaviour}"), move || async move {
                // Not a name that is the same in a URL.
                let folder = tempfile::Builder::new().prefix("a lake ").tempdir().unwrap();
                let bucket = BucketConfig {
                    url: folder.path().join("in it").to_str().unwrap().to_owned(),
                    ..BucketConfig::default()
                };
                $behaviour(bucket).await;
                note("folder", behaviour, &Outcome::Holds);
            });
            suite.test(&format!("memory::{behaviour}"), move || async move {
                let bucket = BucketConfig {
                    url: format!("memory:///{}", stringify!($behaviour)),
                    ..BucketConfig::default()
                };
                $behaviour(bucket).await;
                note("memory", behaviour, &Outcome::Holds);
            });
            suite.needs_s3(&format!("s3::{behaviour}"), move |bucket| async move {
                $behaviour(bucket).await;
                note("s3", behaviour, &Outcome::Holds);
            });
        )*};
    }
    behaviours!(
        creating_the_tables_twice_does_nothing,
        eight_may_create_the_tables_at_once,
        a_table_of_other_columns_is_refused,
        rows_read_back_as_they_were_appended,
        rows_are_sorted_within_their_files,
        every_type_of_column_survives,
        a_transaction_is_appended_once,
        covered_slots_are_refused,
        an_append_may_cover_slots_without_rows,
        rows_that_do_not_fit_are_refused,
        two_racing_writers_both_succeed_once,
        eight_racing_writers_all_succeed_once,
        the_same_append_raced_is_done_once,
        a_refresh_reads_what_is_new,
        an_old_version_stays_readable,
        a_file_that_cannot_match_is_pruned,
        a_row_without_time_has_a_partition,
        a_checkpoint_holds_everything,
        a_missing_table_is_named,
        a_lake_that_is_there_passes_the_check,
        files_are_replaced_in_one_commit,
        replacing_what_is_gone_changes_nothing,
        a_replacement_goes_on_top_of_appends,
        a_replacement_of_the_whole_gives_way,
        rows_written_twice_are_left_out,
        files_are_cut_at_the_target_size,
        changes_are_told_from_rewrites,
        only_what_no_promised_snapshot_names_is_unneeded,
        the_log_before_a_checkpoint_is_unneeded,
    );
}

/// An opened lake with all its tables.
pub async fn lake(bucket: &BucketConfig) -> Lake {
    let lake = Lake::open(bucket).unwrap();
    lake.create_tables().await.unwrap();
    lake
}

async fn creating_the_tables_twice_does_nothing(bucket: BucketConfig) {
    let lake = Lake::open(&bucket).unwrap();
    assert!(lake.table_names().await.unwrap().is_empty());
    lake.create_tables().await.unwrap();
    lake.create_tables().await.unwrap();
    let mut expected: Vec<_> = tables::definitions()
        .iter()
        .map(|definition| name(definition.name))
        .collect();
    expected.sort();
    assert_eq!(lake.table_names().await.unwrap(), expected);
    for definition in tables::definitions() {
        let table = lake.table(&name(definition.name)).await.unwrap();
        assert_eq!(table.version(), 0);
        assert_eq!(table.schema(), definition.schema);
        assert_eq!(
            table.partition_columns(),
            [definition.partition_by.column()]
        );
        assert!(table.files().await.unwrap().is_empty());
        assert!(table.coverage().await.unwrap().is_empty());
    }
}

async fn eight_may_create_the_tables_at_once(bucket: BucketConfig) {
    let creations = (0..8).map(|_| {
        let lake = Lake::open(&bucket).unwrap();
        tokio::spawn(async move { lake.create_tables().await })
    });
    for created in join_all(creations).await {
        created.unwrap().unwrap();
    }
    let lake = Lake::open(&bucket).unwrap();
    assert_eq!(
        lake.table_names().await.unwrap().len(),
        tables::definitions().len()
    );
    assert_eq!(lake.table(&name("blocks")).await.unwrap().version(), 0);
}

async fn a_table_of_other_columns_is_refused(bucket: BucketConfig) {
    let lake = lake(&bucket).await;
    let mut other = tables::TableDefinition {
        name: "signatures",
        description: "",
        schema: tables::definition("blocks").unwrap().schema.clone(),
        partition_by: tables::PartitionBy::Date,
        sort_by: &[],
        key: &[],
        filtered_by: &[],
    };
    let error = lake.create_table(&other).await.unwrap_err().to_string();
    assert!(
        error.contains("`signatures`") && error.contains("other columns"),
        "{error}"
    );
    other.name = "Not A Name";
    assert!(lake.create_table(&other).await.is_err());
}

async fn rows_read_back_as_they_were_appended(bucket: BucketConfig) {
    let table = lake(&bucket)
        .await
        .table(&name("signatures"))
        .await
        .unwrap();
    let (first, second) = (signatures(100..150, 4), signatures(150..160, 4));
    let append = Append {
        batches: vec![first.clone(), second.clone()],
        ..Append::default()
    };
    let Appended::Committed {
        table,
        files,
        rows,
        bytes,
    } = table.append(append).await.unwrap()
    else {
        panic!("nothing was appended");
    };
    assert_eq!((table.version(), rows), (1, 240));
    let listed = table.files().await.unwrap();
    assert_eq!(listed.len(), files);
    assert_eq!(files, tables::BUCKETS as usize);
    assert_eq!(listed.iter().map(|file| file.size).sum::<u64>(), bytes);
    assert_eq!(listed.iter().filter_map(|file| file.rows).sum::<u64>(), 240);
    assert!(listed.is_sorted_by_key(|file| &file.path));
    for file in listed.iter() {
        let bucket = file.partition["bucket"].as_deref().unwrap();
        assert!(file.path.starts_with(&format!("bucket={bucket}/part-")));
        assert!(file.path.ends_with(".zstd.parquet"), "{}", file.path);
    }
    let appended = concat_batches(&table.schema(), &[first, second]).unwrap();
    assert_eq!(all_rows(&table).await, lines(&appended));
    // And as another sees it, who has only the bucket.
    let opened = Lake::open(&bucket).unwrap();
    let opened = opened.table(&name("signatures")).await.unwrap();
    assert_eq!(opened.files().await.unwrap(), listed);
    assert_eq!(all_rows(&opened).await, lines(&appended));
}

async fn rows_are_sorted_within_their_files(bucket: BucketConfig) {
    let table = lake(&bucket)
        .await
        .table(&name("signatures"))
        .await
        .unwrap();
    let table = committed(table.append(append_of(0..200)).await.unwrap());
    for file in table.files().await.unwrap().iter() {
        let batches = table.read(file).await.unwrap();
        let rows = concat_batches(&table.schema(), &batches).unwrap();
        let keys = rows.column_by_name("signature").unwrap().as_string::<i32>();
        let keys: Vec<_> = keys.iter().flatten().collect();
        assert!(keys.len() > 1 && keys.is_sorted(), "{}", file.path);
        let range = &file.columns["signature"];
        assert_eq!(range.min, Some(Scalar::Text(keys[0].to_owned())));
        let last = keys[keys.len() - 1].to_owned();
        assert_eq!(range.max, Some(Scalar::Text(last)));
        assert_eq!(range.nulls, Some(0));
        let slot = rows.column_by_name("slot").unwrap();
        let slot = slot.as_primitive::<Int64Type>().values();
        let range = &file.columns["slot"];
        let (min, max) = (*slot.iter().min().unwrap(), *slot.iter().max().unwrap());
        assert_eq!(range.min, Some(Scalar::Int(min.into())));
        assert_eq!(range.max, Some(Scalar::Int(max.into())));
    }
}

/// One row of JSON for a schema: every column filled.
fn a_row(schema: &SchemaRef) -> arrow::array::RecordBatch {
    use arrow::datatypes::DataType;
    let fields = schema.fields().iter().map(|field| {
        let value = match field.data_type() {
            DataType::Date32 => "\"2024-03-14\"".to_owned(),
            DataType::Timestamp(..) => "\"2024-03-14T15:09:26.535897Z\"".to_owned(),
            DataType::Utf8 => "\"text, \\\"quoted\\\" \u{1F980}\"".to_owned(),
            DataType::Boolean => "true".to_owned(),
            DataType::List(_) => "[\"one\",\"\",\"two\"]".to_owned(),
            DataType::Binary => "\"00ff\"".to_owned(),
            DataType::Decimal128(..) => format!("\"{}\"", u64::MAX),
            DataType::Int32 if field.name() == "bucket" => "7".to_owned(),
            DataType::Int32 => i32::MIN.to_string(),
            DataType::Int64 => i64::MAX.to_string(),
            other => panic!("a table has a column of type {other}"),
        };
        format!("\"{}\":{value}", field.name())
    });
    let row = format!("{{{}}}", fields.collect::<Vec<_>>().join(","));
    let mut reader = arrow::json::ReaderBuilder::new(schema.clone())
        .build(row.as_bytes())
        .unwrap();
    reader.next().unwrap().unwrap()
}

async fn every_type_of_column_survives(bucket: BucketConfig) {
    let lake = lake(&bucket).await;
    for definition in tables::definitions() {
        let table = lake.table(&name(definition.name)).await.unwrap();
        let row = a_row(&definition.schema);
        let append = Append {
            batches: vec![row.clone()],
            ..Append::default()
        };
        let table = committed(table.append(append).await.unwrap());
        let files = table.files().await.unwrap();
        let read = table.read(&files[0]).await.unwrap();
        assert_eq!(read, [row], "{}", definition.name);
        for (column, range) in &files[0].columns {
            if let (Some(min), Some(max)) = (&range.min, &range.max) {
                assert!(min <= max, "{column}: {range:?}");
            }
        }
    }
}

async fn a_refresh_reads_what_is_new(bucket: BucketConfig) {
    let lake = lake(&bucket).await;
    let reader = lake.table(&name("signatures")).await.unwrap();
    let mut writer = reader.clone();
    let unchanged = reader.refresh().await.unwrap();
    assert_eq!(unchanged.version(), 0);
    let mut reader = reader;
    for round in 0..3_u64 {
        writer = committed(writer.append(append_of([round])).await.unwrap());
        let before = reader.files().await.unwrap();
        reader = reader.refresh().await.unwrap();
        let after = reader.files().await.unwrap();
        assert_eq!(reader.version(), round + 1);
        assert!(after.len() > before.len());
        assert!(before.iter().all(|file| after.contains(file)));
        let afresh = lake.table(&name("signatures")).await.unwrap();
        assert_eq!(after, afresh.files().await.unwrap());
    }
    let same = reader.refresh().await.unwrap();
    let (mine, theirs) = (reader.files().await.unwrap(), same.files().await.unwrap());
    assert!(Arc::ptr_eq(&mine, &theirs), "the files were listed again");
}

async fn an_old_version_stays_readable(bucket: BucketConfig) {
    let lake = lake(&bucket).await;
    let mut table = lake.table(&name("signatures")).await.unwrap();
    for slot in 0..3 {
        table = committed(table.append(append_of([slot])).await.unwrap());
    }
    for version in 0..=3 {
        let old = lake.table_at(table.name(), version).await.unwrap();
        assert_eq!(old.version(), version);
        let expected = signatures(0..version, 2);
        assert_eq!(all_rows(&old).await, lines(&expected));
        assert_eq!(old.coverage().await.unwrap(), slots(0..version));
        for target in 0..=3 {
            let moved = old.at(target).await.unwrap();
            assert_eq!(moved.version(), target);
            assert_eq!(all_rows(&moved).await, lines(&signatures(0..target, 2)));
        }
    }
    for error in [
        lake.table_at(table.name(), 4).await.unwrap_err(),
        table.at(4).await.unwrap_err(),
    ] {
        let told = matches!(
            error,
            OpenTableError::NoSuchVersion {
                version: 4,
                newest: 3,
                ..
            }
        );
        assert!(told, "{error:?}");
    }
}

async fn a_file_that_cannot_match_is_pruned(bucket: BucketConfig) {
    let lake = lake(&bucket).await;
    let signatures_table = lake.table(&name("signatures")).await.unwrap();
    let signatures_table = committed(signatures_table.append(append_of(0..100)).await.unwrap());
    let files = signatures_table.files().await.unwrap();
    let definition = signatures_table.definition().unwrap();
    let only = |column: &str, op| {
        [Constraint {
            column: column.to_owned(),
            op,
        }]
    };
    let wanted = only("signature", ConstraintOp::Eq(Scalar::Text("1-42".into())));
    let kept = prune(definition, &files, &wanted);
    assert_eq!(kept.len(), 1);
    let rows = signatures_table.read(kept[0]).await.unwrap();
    let rows = concat_batches(&signatures_table.schema(), &rows).unwrap();
    assert!(lines(&rows).iter().any(|line| line.contains("1-42")));

    let logs = lake.table(&name("log_messages")).await.unwrap();
    let append = Append {
        batches: vec![log_messages(&[
            (1, Some(19_000 * DAY + 5), "first day"),
            (2, Some(19_001 * DAY), "second day"),
            (3, Some(19_001 * DAY + 7), "second day"),
            (4, None, "some day"),
        ])],
        ..Append::default()
    };
    let logs = committed(logs.append(append).await.unwrap());
    let files = logs.files().await.unwrap();
    assert_eq!(files.len(), 3);
    let definition = logs.definition().unwrap();
    let count = |column: &str, op| prune(definition, &files, &only(column, op)).len();
    let midnight = Scalar::TimestampMicros(19_001 * DAY);
    assert_eq!(count("block_time", ConstraintOp::GtEq(midnight.clone())), 1);
    assert_eq!(count("block_time", ConstraintOp::Lt(midnight)), 1);
    assert_eq!(count("block_time", ConstraintOp::IsNull), 1);
    assert_eq!(count("block_time", ConstraintOp::IsNotNull), 2);
    assert_eq!(count("date", ConstraintOp::Eq(Scalar::Date(19_000))), 1);
    assert_eq!(count("slot", ConstraintOp::Gt(Scalar::Int(3))), 1);
    assert_eq!(count("slot", ConstraintOp::Gt(Scalar::Int(4))), 0);
    assert_eq!(count("slot", ConstraintOp::Gt(Scalar::Date(9))), 3);
}

async fn a_row_without_time_has_a_partition(bucket: BucketConfig) {
    let table = lake(&bucket).await;
    let table = table.table(&name("log_messages")).await.unwrap();
    let rows = log_messages(&[(1, None, "when?"), (2, Some(DAY), "then")]);
    let append = Append {
        batches: vec![rows.clone()],
        ..Append::default()
    };
    let table = committed(table.append(append).await.unwrap());
    let files = table.files().await.unwrap();
    let partitions: BTreeSet<_> = files
        .iter()
        .map(|file| file.partition["date"].as_deref())
        .collect();
    assert_eq!(partitions, [None, Some("1970-01-02")].into());
    assert_eq!(all_rows(&table).await, lines(&rows));
}

async fn a_checkpoint_holds_everything(bucket: BucketConfig) {
    let lake = lake(&bucket).await;
    let mut table = lake.table(&name("signatures")).await.unwrap();
    for slot in 0..3_u64 {
        let mut append = append_of([slot * 2]);
        append.transaction = Some(TransactionId {
            app_id: "a".to_owned(),
            version: slot as i64,
        });
        table = committed(table.append(append).await.unwrap());
    }
    let before = table.files().await.unwrap();
    let early = lake.table_at(table.name(), 1).await.unwrap();
    early.files().await.unwrap();
    table.checkpoint().await.unwrap();
    table.checkpoint().await.unwrap();

    let opened = Lake::open(&bucket).unwrap();
    let opened = opened.table(&name("signatures")).await.unwrap();
    assert_eq!(opened.files().await.unwrap(), before);
    let coverage = opened.coverage().await.unwrap();
    assert_eq!(coverage.to_string(), "[[0,0],[2,2],[4,4]]");
    // Who was behind the checkpoint catches up too.
    assert_eq!(
        early.refresh().await.unwrap().files().await.unwrap(),
        before
    );
    let mut again = append_of([100]);
    again.transaction = Some(TransactionId {
        app_id: "a".to_owned(),
        version: 2,
    });
    let again = opened.append(again).await.unwrap();
    assert!(matches!(again, Appended::AlreadyThere { .. }), "{again:?}");
    let again = opened.append(append_of([2, 3])).await.unwrap_err();
    assert!(matches!(again, AppendError::Covered { .. }), "{again}");
    let next = committed(opened.append(append_of([3])).await.unwrap());
    assert_eq!(next.version(), 4);
    assert_eq!(all_rows(&next).await, lines(&signatures([0, 2, 3, 4], 2)));
}

async fn a_missing_table_is_named(bucket: BucketConfig) {
    let empty = Lake::open(&bucket).unwrap();
    let wanted = name("blocks");
    for error in [
        empty.table(&wanted).await.unwrap_err(),
        empty.table_at(&wanted, 3).await.unwrap_err(),
    ] {
        match &error {
            OpenTableError::NotFound { table, .. } => assert_eq!(*table, wanted),
            error => panic!("{error:?}"),
        }
    }
    let error = lake(&bucket).await.table(&name("nothing")).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("there is no table `nothing` in"), "{error}");
}

async fn a_lake_that_is_there_passes_the_check(bucket: BucketConfig) {
    lake(&bucket).await.check().await.unwrap();
}
