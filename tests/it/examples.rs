//! The examples in the documents, as a reader runs them.

use crate::network::{Network, checkout};
use std::path::{Path, PathBuf};
use streamsync_core::{Limits, Scope};
use tokio::process::Command;

pub async fn python(interpreter: PathBuf) {
    run(&interpreter, "sign.py").await;
}

pub async fn node(interpreter: PathBuf) {
    run(&interpreter, "sign.mjs").await;
}

async fn run(interpreter: &Path, example: &str) {
    let mut network = Network::secured().await;
    (0..3).for_each(|_| network.start_worker(&[]));
    network.start_router(&[]).await;
    let key = network
        .key("acme", &[Scope::Query], Limits::default())
        .await;
    network.add_credit("acme", 1_000_000_000, "one").await;
    let file = network.folder().join("key.json");
    key.write_new(&file).unwrap();
    let script = checkout().join("docs/examples").join(example);
    let sql = "SELECT 41 + 1 AS n";
    let mut command = Command::new(interpreter);
    command
        .arg(script)
        .arg(&network.routers[0].url)
        .arg(file)
        .arg(sql);
    let output = command.output().await.unwrap();
    let (out, errors) = (output.stdout, String::from_utf8_lossy(&output.stderr));
    let said: serde_json::Value =
        serde_json::from_slice(&out).unwrap_or_else(|_| panic!("{errors}"));
    assert_eq!(said, serde_json::json!([{ "n": 42 }]));
}
