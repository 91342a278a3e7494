//! What is told before anything runs.

use crate::{
    cluster::{PATIENCE, run, streamsync, text},
    network::Network,
};
use std::net::TcpListener;
use streamsync_testing::eventually;
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

/// What the doctor finds where all is well, and what it says where something is not.
pub async fn doctor() {
    let mut network = Network::secured().await;
    let registry = network.registry().await;
    let live = async |count: usize| {
        eventually(PATIENCE, async || {
            registry.workers().await.unwrap().len() == count
        })
        .await;
    };
    network.start_worker(&[]);
    live(1).await;
    let (folder, redis) = (network.folder(), network.redis.url());
    let path = |name: &str| folder.join(name).display().to_string();
    let (lake, tls, nowhere) = (path("lake"), path("router-tls"), path("nowhere"));
    let asks = async |bucket: &str, redis: &str, more: &[&str]| {
        let arguments = [&["doctor", "--bucket", bucket, "--redis-url", redis], more].concat();
        let asked = run(&arguments).await;
        (asked.status.success(), text(&asked.stdout))
    };
    let (sound, said) = asks(&lake, &redis, &[]).await;
    assert!(!sound, "{said}");
    assert!(said.contains("an answer takes 3 that agree"), "{said}");
    (0..2).for_each(|_| network.start_worker(&[]));
    live(3).await;
    let ours = format!("3 of 3 healthy; 3 of {}", env!("CARGO_PKG_VERSION"));
    // Twice, as something is left in the bucket.
    for _ in 0..2 {
        // A busy machine may hold up a heartbeat.
        eventually(PATIENCE, async || {
            let (sound, said) = asks(&lake, &redis, &["--tls", &tls]).await;
            let expected = [
                "the second of two is refused",
                "nobody is paid",
                // As Redis is in tests.
                "CHECK   Redis keeps        appendonly is no, not yes",
            ];
            let all = expected.iter().all(|expected| said.contains(expected));
            sound && all && !said.contains("WRONG") && said.contains(&ours)
        })
        .await;
    }
    let wrong: [(&str, &str, &[&str], &str); 5] = [
        (
            &lake,
            &redis,
            &["--rpc-url", "http://127.0.0.1:1"],
            "WRONG   Solana",
        ),
        (&nowhere, &redis, &[], "there is no bucket or folder"),
        (
            &lake,
            "redis://127.0.0.1:1",
            &[],
            "could not connect to Redis",
        ),
        (&lake, &redis, &["--tls", &nowhere], "nowhere"),
        (
            &lake,
            &redis,
            &[
                "--network",
                "11111111111111111111111111111111",
                "--rpc-url",
                "http://127.0.0.1:1",
            ],
            "check settlement.rpc_url",
        ),
    ];
    for (bucket, redis, more, expected) in wrong {
        let (sound, said) = asks(bucket, redis, more).await;
        assert!(!sound, "{said}");
        let mut lines = said.lines().filter(|line| line.starts_with("WRONG"));
        assert!(lines.any(|line| line.contains(expected)), "{said}");
    }
}
