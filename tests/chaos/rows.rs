//! Whether the lake holds the rows that it should, each once.

use crate::{ingest, network::Network, violation::Violations};
use std::collections::BTreeMap;
use streamsync_core::config::BucketConfig;
use streamsync_lake::Lake;
use streamsync_testing::row_lines;

/// What the network keeps about itself: no blocks of the chain.
const OWN: [&str; 4] = ["evidence", "admin_log", "receipts", "settlements"];

/// All rows of each table, as sorted text.
async fn rows(lake: &Lake) -> BTreeMap<String, Vec<String>> {
    let mut all = BTreeMap::new();
    for name in lake.table_names().await.unwrap() {
        if OWN.contains(&name.as_str()) {
            continue;
        }
        let table = lake.table(&name).await.unwrap();
        let mut lines = Vec::new();
        for file in table.files().await.unwrap().iter() {
            let batches = table.read(file).await.unwrap();
            lines.extend(batches.iter().flat_map(row_lines));
        }
        lines.sort_unstable();
        all.insert(name.to_string(), lines);
    }
    all
}

/// Ingests the same blocks in the same runs where nothing disturbs, and compares all tables, those too
/// that compactors compute from others. Returns how many rows there are.
pub async fn check(network: &Network, seed: u64, runs: usize, violations: &Violations) -> usize {
    let folder = network.folder("undisturbed");
    let flags = ["--bucket".to_owned(), folder.display().to_string()];
    for slots in ingest::stages(runs) {
        let blocks = ingest::blocks(seed, slots);
        let log = network.log("undisturbed");
        let recipe = ingest::recipe(&flags, network.environment(), &blocks, &log);
        assert!(recipe.command().status().await.unwrap().success());
    }
    network.compact_once(&flags).await;
    network.compact_once(&network.bucket.flags()).await;
    let undisturbed = Lake::open(&BucketConfig {
        url: folder.display().to_string(),
        ..BucketConfig::default()
    });
    let right = rows(&undisturbed.unwrap()).await;
    let held = rows(&network.bucket.lake()).await;
    for name in right
        .keys()
        .chain(held.keys().filter(|name| !right.contains_key(*name)))
    {
        let (Some(right), Some(held)) = (right.get(name), held.get(name)) else {
            violations.note(format!("the table {name} is not in both lakes"));
            continue;
        };
        if right != held {
            let (lost, more) = (missing(right, held), missing(held, right));
            violations.note(format!(
                "{name} has {} rows, right are {}; lost {lost:?}, too many {more:?}",
                held.len(),
                right.len()
            ));
        }
    }
    held.values().map(Vec::len).sum()
}

/// A few lines of the first, which is sorted as the second is, that the second has not as often.
fn missing<'a>(of: &'a [String], from: &[String]) -> Vec<&'a String> {
    let mut others = from.iter().peekable();
    let mut missing = Vec::new();
    for line in of {
        while others.next_if(|other| *other < line).is_some() {}
        if others.next_if(|other| *other == line).is_none() {
            missing.push(line);
        }
    }
    missing.truncate(3);
    missing
}
