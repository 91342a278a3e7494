//! The list of metrics, beside the code.

use crate::network::checkout;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

/// Every metric in the code is in docs/METRICS.md, and the other way round.
pub async fn complete() {
    let root = checkout();
    let list = fs::read_to_string(root.join("docs/METRICS.md")).unwrap();
    let listed: BTreeSet<String> = list
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .filter(|name| name.starts_with("streamsync_"))
        .map(str::to_owned)
        .collect();
    let mut known = BTreeSet::new();
    for folder in [
        "src",
        "router/src",
        "worker/src",
        "compactor/src",
        "settlement/src",
        "tls/src",
        "telemetry/src",
        "lake/src",
        "ingest/src",
        "registry/src",
        "bucket/src",
    ] {
        for file in rust_files(&root.join(folder)) {
            let code = fs::read_to_string(&file).unwrap();
            let code = code.split("#[cfg(test)]").next().unwrap();
            let texts = code.split('"').skip(1).step_by(2);
            known.extend(texts.filter(|text| is_metric(text)).map(str::to_owned));
        }
    }
    assert!(known.len() > 40, "{known:?}");
    let unlisted: Vec<_> = known.difference(&listed).collect();
    let unknown: Vec<_> = listed.difference(&known).collect();
    assert!(
        unlisted.is_empty() && unknown.is_empty(),
        "not listed: {unlisted:?}; not in the code: {unknown:?}"
    );
}

fn is_metric(text: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_lowercase() || letter == '_';
    text.strip_prefix("streamsync_")
        .is_some_and(|rest| rest.contains('_') && rest.chars().all(plain) && !text.ends_with('_'))
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}
