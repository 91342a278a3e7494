//! Two versions at once, as while a network is upgraded.

use crate::{
    billing::{all_receipts, ask},
    cluster::PATIENCE,
    network::Network,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};
use streamsync_core::{Limits, Scope};
use streamsync_testing::eventually;

/// The binary of an earlier version: `STREAMSYNC_TEST_PREVIOUS`. `None` where there is none.
pub fn previous() -> Option<String> {
    let binary = std::env::var("STREAMSYNC_TEST_PREVIOUS").ok();
    binary.filter(|binary| !binary.is_empty())
}

/// Workers, then routers, are replaced by those of this version while clients ask, and one worker goes
/// back: all queries are answered, and rightly, and all receipts are there.
pub async fn rolling(old: String) {
    let mut network = Network::secured().await;
    let old = ["--binary", &old];
    (0..3).for_each(|_| network.start_worker(&old));
    network.start_router(&old).await;
    let key = network
        .key("acme", &[Scope::Query, Scope::Operate], Limits::default())
        .await;
    network.add_credit("acme", 10_000_000_000, "one").await;
    let client = network.client.clone();
    let body = json!({ "sql": "select slot, transaction_count from blocks order by slot" });
    let url = |network: &Network, router: usize| network.routers[router].url.clone();
    let first = ask(&client, &url(&network, 0), &key, "/v1/query", Some(&body))
        .await
        .unwrap();
    assert_eq!(first.status(), 200);
    let right: Value = first.json().await.unwrap();

    // Who asks goes on while processes are replaced.
    let (answered, charged) = (AtomicUsize::new(1), AtomicU64::new(0));
    let over = AtomicBool::new(false);
    let asking = async |router: String| {
        while !over.load(Ordering::Relaxed) {
            let answer = ask(&client, &router, &key, "/v1/query", Some(&body))
                .await
                .unwrap();
            let status = answer.status();
            let price = answer.headers().get("streamsync-charged").cloned();
            let answer: Value = answer.json().await.unwrap();
            assert_eq!(status, 200, "{answer}");
            assert_eq!(answer["rows"], right["rows"]);
            let price = price.unwrap().to_str().unwrap().parse::<u64>().unwrap();
            charged.fetch_add(price, Ordering::Relaxed);
            answered.fetch_add(1, Ordering::Relaxed);
        }
    };
    let versions = async |network: &Network, router: &str| -> (usize, BTreeSet<String>) {
        let listed = ask(&network.client, router, &key, "/v1/workers", None)
            .await
            .unwrap();
        let listed: Value = listed.json().await.unwrap();
        let workers = listed["workers"].as_array().unwrap();
        let healthy = workers
            .iter()
            .filter(|worker| worker["health"] == "healthy");
        let endpoints = healthy.map(|worker| worker["endpoint"].as_str().unwrap().to_owned());
        let endpoints: BTreeSet<String> = endpoints.collect();
        (endpoints.len(), endpoints)
    };
    let router = url(&network, 0);
    let replacing = async {
        for place in 0..3 {
            network.start_worker(&[]);
            eventually(PATIENCE, async || versions(&network, &router).await.0 == 4).await;
            network.workers[place].stop().await;
            eventually(PATIENCE, async || versions(&network, &router).await.0 == 3).await;
        }
        // An old router with new workers; then a new one beside it.
        network.start_router(&[]).await;
        let newer = url(&network, 1);
        let beside = ask(&client, &newer, &key, "/v1/query", Some(&body))
            .await
            .unwrap();
        let beside: Value = beside.json().await.unwrap();
        assert_eq!(beside["rows"], right["rows"]);
        // And back: an old worker under the new router.
        network.start_worker(&old);
        let endpoint = network.workers.last().unwrap().endpoint.clone();
        for router in [&router, &newer] {
            eventually(PATIENCE, async || {
                let (_, endpoints) = versions(&network, router).await;
                endpoints
                    .iter()
                    .any(|known| known.trim_end_matches('/') == endpoint)
            })
            .await;
        }
        // Two of this version are no quorum: what the new router answers, the old worker has confirmed.
        network.workers[3].stop().await;
        eventually(PATIENCE, async || versions(&network, &newer).await.0 == 3).await;
        let mixed = ask(&client, &newer, &key, "/v1/query", Some(&body))
            .await
            .unwrap();
        let mixed: Value = mixed.json().await.unwrap();
        assert_eq!(mixed["rows"], right["rows"]);
        let before = answered.load(Ordering::Relaxed);
        eventually(PATIENCE, async || {
            answered.load(Ordering::Relaxed) > before + 20
        })
        .await;
        over.store(true, Ordering::Relaxed);
    };
    tokio::join!(replacing, asking(router.clone()));
    network.routers[0].stop().await;
    let newer = url(&network, 1);
    let last = ask(&client, &newer, &key, "/v1/query", Some(&body))
        .await
        .unwrap();
    let last: Value = last.json().await.unwrap();
    assert_eq!(last["rows"], right["rows"]);
    network.routers[1].stop().await;

    let registry = network.registry().await;
    let receipts = all_receipts(&registry).await;
    assert_eq!(receipts.len(), answered.into_inner() + 3);
    let sum: u64 = receipts.iter().map(|signed| signed.receipt.charged.0).sum();
    assert!(sum > charged.into_inner());
    let account = registry.balance(&"acme".parse().unwrap()).await.unwrap();
    assert_eq!(account.spent.0, sum);
}
