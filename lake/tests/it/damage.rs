//! Files that are not what the log says they are.

use crate::rows::{append_of, committed, name};
use std::path::PathBuf;
use streamsync_core::config::BucketConfig;
use streamsync_lake::{DataFile, Lake, ReadFileError, Table};
use streamsync_testing::Suite;

pub fn add(suite: &mut Suite) {
    suite.test("damage::is_told_apart", is_told_apart);
    suite.test("damage::a_broken_log_is_not_a_missing_table", broken_log);
}

async fn table_in(folder: &std::path::Path) -> Table {
    let bucket = BucketConfig {
        url: folder.to_str().unwrap().to_owned(),
        ..BucketConfig::default()
    };
    let lake = Lake::open(&bucket).unwrap();
    lake.create_tables().await.unwrap();
    let table = lake.table(&name("signatures")).await.unwrap();
    committed(table.append(append_of(0..50)).await.unwrap())
}

async fn is_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let table = table_in(folder.path()).await;
    let files = table.files().await.unwrap();
    let place = |file: &DataFile| -> PathBuf { folder.path().join("signatures").join(&file.path) };
    let read = async |file: &DataFile| table.read(file).await.unwrap_err();

    let bytes = std::fs::read(place(&files[0])).unwrap();
    std::fs::write(place(&files[0]), &bytes[..bytes.len() / 2]).unwrap();
    let error = read(&files[0]).await;
    assert!(matches!(error, ReadFileError::Size { .. }), "{error}");

    std::fs::write(place(&files[0]), vec![0; bytes.len()]).unwrap();
    let error = read(&files[0]).await;
    assert!(matches!(error, ReadFileError::Parquet { .. }), "{error}");

    std::fs::remove_file(place(&files[1])).unwrap();
    let error = read(&files[1]).await;
    assert!(matches!(error, ReadFileError::Fetch { .. }), "{error}");

    let mut more = files[2].clone();
    more.rows = more.rows.map(|rows| rows + 1);
    let error = read(&more).await;
    assert!(matches!(error, ReadFileError::Rows { .. }), "{error}");

    for path in [
        "../blocks/part.parquet",
        "/etc/passwd",
        "s3://other/part.parquet",
    ] {
        let mut elsewhere = files[2].clone();
        elsewhere.path = path.to_owned();
        let error = read(&elsewhere).await;
        assert!(matches!(error, ReadFileError::Path { .. }), "{error}");
    }
    table.read(&files[2]).await.unwrap();
}

async fn broken_log() {
    let folder = tempfile::tempdir().unwrap();
    let table = table_in(folder.path()).await;
    let log = folder.path().join("signatures/_delta_log");
    std::fs::write(log.join("00000000000000000000.json"), "not json").unwrap();
    let bucket = BucketConfig {
        url: folder.path().to_str().unwrap().to_owned(),
        ..BucketConfig::default()
    };
    let opened = Lake::open(&bucket).unwrap().table(table.name()).await;
    let error = opened.unwrap_err().to_string();
    assert!(error.contains("could not read the log"), "{error}");
}
