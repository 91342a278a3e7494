//! An ingest that is killed and run again.

use crate::cluster::{PATIENCE, streamsync, text};
use std::{collections::BTreeMap, path::Path};
use streamsync_core::config::BucketConfig;
use streamsync_lake::{Lake, tables};
use streamsync_testing::eventually;
use tempfile::TempDir;
use tokio::process::Command;

/// Enough slots for several batches.
const BLOCKS: &str = "3,5000,20";

fn ingest(lake: &Path) -> Command {
    let mut command = streamsync();
    command
        .args(["ingest", "--synthetic", BLOCKS, "--bucket"])
        .arg(lake);
    command
}

/// The rows of each table, and the slots that it covers.
async fn held(lake: &Path) -> BTreeMap<&'static str, (u64, u64)> {
    let url = lake.display().to_string();
    let lake = Lake::open(&BucketConfig {
        url,
        ..BucketConfig::default()
    })
    .unwrap();
    let mut held = BTreeMap::new();
    for definition in tables::chain() {
        let table = lake.table(&definition.name.parse().unwrap()).await.unwrap();
        let files = table.files().await.unwrap();
        let rows = files.iter().map(|file| file.rows.unwrap()).sum();
        held.insert(
            definition.name,
            (rows, table.coverage().await.unwrap().len()),
        );
    }
    held
}

pub async fn killed_ingest() {
    let folder = TempDir::new().unwrap();
    let whole = folder.path().join("whole");
    let output = ingest(&whole).output().await.unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
    let expected = held(&whole).await;
    assert!(expected["transactions"].0 > 10_000);

    // Killed as soon as a table has its first rows, another its second, and the last its first.
    let killed = folder.path().join("killed");
    for (table, version) in [("transactions", 1), ("instructions", 2), ("blocks", 1)] {
        let log = killed
            .join(table)
            .join("_delta_log")
            .join(format!("{version:020}.json"));
        let mut process = ingest(&killed)
            .stdout(std::process::Stdio::null())
            .spawn()
            .unwrap();
        eventually(PATIENCE, async || log.exists()).await;
        // It may have ended already, which is no less a state to go on from.
        let _ = process.kill().await;
    }
    for _ in 0..2 {
        let output = ingest(&killed).output().await.unwrap();
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(held(&killed).await, expected);
    }
}
