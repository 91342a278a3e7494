//! A bucket that is made by the command, and tells of new versions.

use crate::{
    cluster::{PATIENCE, run, streamsync, text},
    network::{Network, client},
};
use futures::StreamExt;
use serde_json::json;
use streamsync_core::config::BucketConfig;
use streamsync_registry::News;
use streamsync_testing::eventually;
use tempfile::TempDir;
use uuid::Uuid;

/// Routers that would poll in ten minutes learn of new blocks at once: one from the queue, the other, and
/// whoever else listens, from it.
pub async fn told(bucket: BucketConfig) {
    let endpoint = bucket.endpoint.as_deref().unwrap();
    #[allow(
        clippy::disallowed_methods,
        reason = "tests that run at the same time have to differ"
    )]
    let name = format!("s3://streamsync-{}/main net", Uuid::new_v4());
    let flags = ["--bucket", &name, "--s3-endpoint", endpoint];
    let create = [&["bucket", "create", "--notify"], flags.as_slice()].concat();
    let made = run(&create).await;
    let said = text(&made.stdout);
    assert!(made.status.success(), "{said}{}", text(&made.stderr));
    assert!(said.contains(" made\n"), "{said}");
    let again = run(&create).await;
    let said = text(&again.stdout);
    assert!(
        again.status.success() && said.contains("was there"),
        "{said}"
    );
    // Each lake in the bucket has its rule, once.
    let beside = name.replace("main net", "dev net");
    let other = [
        "bucket",
        "create",
        "--bucket",
        &beside,
        "--s3-endpoint",
        endpoint,
    ];
    assert!(run(&other).await.status.success());
    let (bucket, _) = name.trim_start_matches("s3://").split_once('/').unwrap();
    let rules = client().get(format!("{endpoint}/{bucket}?lifecycle"));
    let rules = rules.send().await.unwrap();
    let rules = rules.text().await.unwrap();
    assert_eq!(rules.matches("<Rule>").count(), 2, "{rules}");
    for prefix in ["main net/", "dev net/"] {
        assert!(
            rules.contains(&format!("<Prefix>{prefix}</Prefix>")),
            "{rules}"
        );
    }
    assert_eq!(rules.matches("<AbortIncompleteMultipartUpload>").count(), 2);
    let queue = said
        .lines()
        .find_map(|line| line.strip_prefix("STREAMSYNC_BUCKET__NOTIFICATIONS="));
    let queue = queue.unwrap().to_owned();

    let folder = TempDir::new().unwrap();
    let mut network = Network::over(folder, flags.map(str::to_owned).into()).await;
    let base = network.folder();
    let config = |name: &str, more: &str| {
        let path = base.join(name);
        let settings = format!("[router]\nsnapshot_poll_ms = 600000\n{more}");
        std::fs::write(&path, settings).unwrap();
        path.display().to_string()
    };
    let listens = config(
        "listens.toml",
        &format!("[bucket]\nnotifications = \"{queue}\"\n"),
    );
    let polls = config("polls.toml", "");
    (0..3).for_each(|_| network.start_worker(&[]));
    network.start_router(&["--config", &listens]).await;
    network.start_router(&["--config", &polls]).await;
    let count = async |router: usize| {
        let rows = network
            .rows(router, "select count(*) as n from blocks")
            .await;
        rows[0]["n"].as_u64().unwrap()
    };
    let before = count(0).await;
    assert!(before > 0 && count(1).await == before);
    let registry = network.registry().await;
    let mut news = registry.news().await.unwrap();
    let more = [&["ingest", "--synthetic", "7,30,200"], flags.as_slice()].concat();
    let ingested = run(&more).await;
    assert!(ingested.status.success(), "{}", text(&ingested.stderr));
    eventually(PATIENCE, async || {
        count(0).await > before && count(1).await > before
    })
    .await;
    while news.next().await.unwrap() != News::Lake {}

    // A queue that is not there is no reason not to start; the lake is polled.
    let nowhere = config(
        "nowhere.toml",
        &format!("[bucket]\nnotifications = \"{queue}-gone\"\n"),
    );
    network.start_router(&["--config", &nowhere]).await;
    assert_eq!(
        network.rows(2, "select 41 + 1 as n").await,
        json!([{ "n": 42 }])
    );
}

/// What cannot be made is said.
pub async fn refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().display().to_string();
    let failed = run(&["bucket", "create", "--bucket", &path]).await;
    assert!(!failed.status.success());
    assert!(
        text(&failed.stderr).contains("is no bucket: write s3://bucket"),
        "{}",
        text(&failed.stderr)
    );
    let mut nobody = streamsync();
    nobody.args([
        "bucket",
        "create",
        "--bucket",
        "s3://lake",
        "--s3-endpoint",
        "http://127.0.0.1:9",
    ]);
    let failed = nobody.output().await.unwrap();
    assert!(!failed.status.success());
    assert!(
        text(&failed.stderr).contains("could not look at lake"),
        "{}",
        text(&failed.stderr)
    );
}
