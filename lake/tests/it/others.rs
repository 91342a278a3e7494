//! What an independent reader makes of the tables.

use crate::rows::{append_of, committed, log_messages, name};
use std::{path::PathBuf, process::Command};
use streamsync_core::config::BucketConfig;
use streamsync_lake::{Append, Lake, tables};
use streamsync_testing::Suite;

/// Opens every table below the folder given and prints, as JSON by name, its version, its number
/// of rows and the sum of its slots, if it has any.
const SCRIPT: &str = r#"
import json, pathlib, sys
from deltalake import DeltaTable, QueryBuilder
seen = {}
for folder in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    table = DeltaTable(str(folder))
    query = QueryBuilder().register("t", table)
    slots = "slot" if any(field.name == "slot" for field in table.schema().fields) else "0"
    found = query.execute(f"SELECT count(*), coalesce(sum({slots}), 0) FROM t").read_all()
    seen[folder.name] = [table.version()] + [found.column(i)[0].as_py() for i in (0, 1)]
print(json.dumps(seen))
"#;

pub fn add(suite: &mut Suite) {
    suite.needs_python("others::deltalake_reads_every_table", |python| async {
        deltalake_reads_every_table(python).await;
    });
}

async fn deltalake_reads_every_table(python: PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let bucket = BucketConfig {
        url: folder.path().to_str().unwrap().to_owned(),
        ..BucketConfig::default()
    };
    let lake = Lake::open(&bucket).unwrap();
    lake.create_tables().await.unwrap();
    let table = lake.table(&name("signatures")).await.unwrap();
    let table = committed(table.append(append_of(0..50)).await.unwrap());
    // From a checkpoint and a commit after it.
    table.checkpoint().await.unwrap();
    committed(table.append(append_of(50..60)).await.unwrap());
    let logs = lake.table(&name("log_messages")).await.unwrap();
    let rows = log_messages(&[(3, None, "no time"), (4, Some(5), "a time")]);
    let append = Append {
        batches: vec![rows],
        ..Append::default()
    };
    committed(logs.append(append).await.unwrap());

    let output = Command::new(python)
        .args(["-c", SCRIPT])
        .arg(folder.path())
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{told}");
    let seen: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(seen.as_object().unwrap().len(), tables::definitions().len());
    for (table, found) in seen.as_object().unwrap() {
        let expected = match table.as_str() {
            "signatures" => serde_json::json!([2, 120, 2 * (0..60).sum::<u64>()]),
            "log_messages" => serde_json::json!([1, 2, 7]),
            _ => serde_json::json!([0, 0, 0]),
        };
        assert_eq!(*found, expected, "{table}");
    }
}
