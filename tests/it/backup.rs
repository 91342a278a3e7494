//! Redis loses everything, and gets it back from the bucket.

use crate::{
    billing::{all_receipts, ask},
    cluster::{PATIENCE, run, text},
    elastic::metric,
    network::{Network, actor, free_port},
};
use serde_json::json;
use streamsync_core::{Amount, Limits, Scope};
use streamsync_testing::eventually;

const DEPOSIT: u64 = 1_000_000_000;

/// A key, its credit and all that was charged are as they were, though Redis was emptied after further
/// queries that no backup knows of.
pub async fn restored() {
    let mut network = Network::secured().await;
    let config = network.folder().join("backup.toml");
    let metrics = format!("127.0.0.1:{}", free_port());
    let settings = format!("[backup]\nlook_s = 1\n[router]\nmetrics_listen = \"{metrics}\"\n");
    std::fs::write(&config, settings).unwrap();
    let metrics = format!("http://{metrics}/metrics");
    let config = config.display().to_string();
    (0..3).for_each(|_| network.start_worker(&[]));
    network.start_router(&["--config", &config]).await;
    let key = network
        .key("acme", &[Scope::Query], Limits::default())
        .await;
    network.add_credit("acme", DEPOSIT, "invoice 1").await;
    let (client, url) = (network.client.clone(), network.routers[0].url.clone());
    let body = json!({ "sql": "select count(*) from transactions" });
    let query = async || {
        let answer = ask(&client, &url, &key, "/v1/query", Some(&body))
            .await
            .unwrap();
        let status = answer.status();
        let charged = answer.headers().get("streamsync-charged").cloned();
        assert_eq!(status, 200, "{}", answer.text().await.unwrap());
        charged.unwrap().to_str().unwrap().parse::<u64>().unwrap()
    };
    let mut charged = 0;
    for _ in 0..3 {
        charged += query().await;
    }
    let lake = network.folder().join("lake").display().to_string();
    let (redis, master) = (network.redis.url(), network.master().display().to_string());
    let flags = [
        "--bucket",
        &lake,
        "--redis-url",
        &redis,
        "--master-secrets",
        &master,
    ];
    let backup = async |command: &[&str]| {
        let arguments = [&["backup"], command, &flags].concat();
        let output = run(&arguments).await;
        let said = text(&output.stdout) + &text(&output.stderr);
        (output.status.success(), said)
    };
    // By itself, as a key and credit were added.
    eventually(PATIENCE, async || {
        let (listed, names) = backup(&["list"]).await;
        assert!(listed, "{names}");
        !names.is_empty()
    })
    .await;
    let (made, said) = backup(&["create"]).await;
    assert!(made && said.contains("1 keys, 1 accounts"), "{said}");
    for _ in 0..3 {
        charged += query().await;
    }
    // Nothing of it can be read in the bucket.
    for file in std::fs::read_dir(network.folder().join("lake/backups")).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        assert!(!bytes.windows(4).any(|part| part == b"acme"));
    }

    let (done, said) = backup(&["restore"]).await;
    assert!(!done && said.contains("Redis is not empty"), "{said}");
    let (_, before) = backup(&["list"]).await;
    network.redis.kill().await;
    network.redis.restart().await;
    // The router tells it of receipts again, and keeps no copy of what is left: somebody makes a key meanwhile.
    let registry = network.registry().await;
    eventually(PATIENCE, async || all_receipts(&registry).await.len() == 6).await;
    network
        .key("nobody", &[Scope::Query], Limits::default())
        .await;
    let failures = "streamsync_router_backup_failures_total";
    eventually(PATIENCE, async || {
        metric(&network, &metrics, failures).await >= Some(2.0)
    })
    .await;
    let (_, after) = backup(&["list"]).await;
    assert_eq!(before, after);
    network.routers[0].kill().await;
    network.redis.kill().await;
    network.redis.restart().await;
    let (done, said) = backup(&["restore", "--from", "redis-1.zst.sealed"]).await;
    assert!(!done && said.contains("no name of a backup"), "{said}");
    let (done, said) = backup(&["restore"]).await;
    assert!(done && said.contains("1 keys, 1 accounts"), "{said}");
    assert!(said.contains("kept as redis-"), "{said}");
    network.routers[0].restart(&client).await;
    charged += query().await;
    let registry = network.registry().await;
    eventually(PATIENCE, async || all_receipts(&registry).await.len() == 7).await;
    network.routers[0].stop().await;
    let account = registry.balance(&"acme".parse().unwrap()).await.unwrap();
    assert_eq!(account.deposited, Amount(DEPOSIT));
    assert_eq!(account.spent, Amount(charged));
    assert_eq!(account.balance, Amount(DEPOSIT - charged), "{account:?}");
    let (administration, actor) = (network.administration().await, actor());
    let client = "acme".parse().unwrap();
    let again = administration.add_credit(&client, Amount(DEPOSIT), "invoice 1", &actor);
    assert!(!again.await.unwrap(), "an invoice is not paid twice");
}
