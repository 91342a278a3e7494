//! What is told before anything runs.

use crate::cluster::{run, streamsync, text};
use std::net::TcpListener;
use tempfile::TempDir;

pub async fn config_check() {
    let checked = streamsync()
        .args([
            "config",
            "check",
            "--redis-url",
            "redis://:hunter2@127.0.0.1:6379",
        ])
        .env("STREAMSYNC_BUCKET__SECRET_ACCESS_KEY", "hunter2")
        .output()
        .await
        .unwrap();
    let shown = text(&checked.stdout);
    assert!(checked.status.success(), "{}", text(&checked.stderr));
    assert!(
        shown.contains("[router]") && shown.contains("***"),
        "{shown}"
    );
    assert!(!shown.contains("hunter2"), "{shown}");
}

pub async fn surroundings() {
    let folder = TempDir::new().unwrap();
    let lake = folder.path().join("lake");
    let lake = lake.to_str().unwrap();
    let ingest = run(&["ingest", "--synthetic", "1,2,10", "--bucket", lake]).await;
    assert!(ingest.status.success(), "{}", text(&ingest.stderr));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let truncated = folder.path().join("5.json");
    std::fs::write(&truncated, "{\"blockhash\": \"").unwrap();
    let nobody = "redis://127.0.0.1:1";
    let s3: &[&str] = &[
        "--bucket",
        "s3://nowhere/lake",
        "--s3-endpoint",
        "http://127.0.0.1:1",
    ];
    let cases: Vec<(Vec<&str>, &str)> = vec![
        (
            vec!["worker", "--bucket", lake, "--redis-url", nobody],
            "could not connect to Redis",
        ),
        (
            vec!["router", "--bucket", lake, "--listen", &taken],
            "is it in use?",
        ),
        ([&["worker"], s3].concat(), "127.0.0.1:1"),
        (
            vec!["ingest", truncated.to_str().unwrap(), "--bucket", lake],
            "slot 5",
        ),
        (vec!["ingest", "/nowhere", "--bucket", lake], "/nowhere"),
        (
            vec!["query", "select 1", "--router", "http://127.0.0.1:1"],
            "could not reach the router",
        ),
        (vec!["router", "--racers", "9"], "race.racers is 9"),
        (vec!["router", "--config", "/nowhere.toml"], "/nowhere.toml"),
    ];
    for (arguments, expected) in cases {
        let output = streamsync()
            .args(&arguments)
            .env("AWS_ACCESS_KEY_ID", "test")
            .env("AWS_SECRET_ACCESS_KEY", "test")
            .output()
            .await
            .unwrap();
        let shown = format!("{}{}", text(&output.stdout), text(&output.stderr));
        assert!(!output.status.success(), "{arguments:?}: {shown}");
        assert!(shown.contains(expected), "{arguments:?}: {shown}");
    }
}
