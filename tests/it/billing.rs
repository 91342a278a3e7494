//! Money: what clients are charged, through routers that are killed.

use crate::{
    cluster::PATIENCE,
    network::{Network, client, now_s, patient},
    signed::{Request, nonce},
};
use rand::{Rng, SeedableRng, rngs::StdRng};
use reqwest::Client;
use serde_json::{Value, json};
use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, RwLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};
use streamsync_access::SigningKey;
use streamsync_core::{Limits, Scope, SignedReceipt};
use streamsync_registry::Registry;
use streamsync_testing::eventually;

/// How many queries are asked; a longer run is asked for with `STREAMSYNC_TEST_BILLED`.
const QUERIES: usize = 4_000;
const CLIENTS: usize = 50;
const DEPOSIT: u64 = 20_000_000_000;

/// Sends a signed request with an ordinary client; a query patiently, unless it has its own deadline.
pub async fn ask(
    client: &Client,
    url: &str,
    key: &SigningKey,
    target: &str,
    body: Option<&Value>,
) -> reqwest::Result<reqwest::Response> {
    let authority = url.trim_start_matches("http://");
    let body = body.map(|body| match target {
        "/v1/query" => patient(body),
        _ => body.clone(),
    });
    let bytes = body
        .as_ref()
        .map(|body| serde_json::to_vec(body).unwrap())
        .unwrap_or_default();
    let method = if body.is_some() { "POST" } else { "GET" };
    let signed = Request::signed_at(key, authority, method, target, &bytes, now_s(), &nonce());
    let mut request = match body {
        Some(_) => client.post(format!("{url}{target}")).body(bytes),
        None => client.get(format!("{url}{target}")),
    };
    for (name, value) in signed.headers {
        if !matches!(name.as_str(), "host" | "content-length") {
            request = request.header(name, value);
        }
    }
    request.send().await
}

pub async fn all_receipts(registry: &Registry) -> Vec<SignedReceipt> {
    let mut receipts = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = registry.receipts(after.as_deref(), 1_000).await.unwrap();
        let Some(last) = page.last() else {
            return receipts;
        };
        after = Some(last.id.clone());
        receipts.extend(
            page.iter()
                .map(|filed| serde_json::from_str::<SignedReceipt>(&filed.receipt).unwrap()),
        );
    }
}

/// Fifty clients and three routers, one of which is killed every few seconds, and once Redis is: in
/// the end there is a receipt for every answer that somebody got, and what accounts lost is the sum
/// of the receipts.
pub async fn storm() {
    let queries = std::env::var("STREAMSYNC_TEST_BILLED")
        .ok()
        .and_then(|count| count.parse().ok())
        .unwrap_or(QUERIES);
    let mut network = Network::secured().await;
    (0..4).for_each(|_| network.start_worker(&[]));
    for _ in 0..3 {
        network.start_router(&[]).await;
    }
    let mut keys = Vec::new();
    for number in 0..CLIENTS {
        let client = format!("client-{number}");
        keys.push(
            network
                .key(&client, &[Scope::Query], Limits::default())
                .await,
        );
        network.add_credit(&client, DEPOSIT, "one").await;
    }
    let urls: Vec<String> = network
        .routers
        .iter()
        .map(|router| router.url.clone())
        .collect();
    let client = client();
    let sql = "select signature from signatures order by signature limit 100";
    let first = json!({ "sql": sql });
    let rows = ask(&client, &urls[0], &keys[0], "/v1/query", Some(&first)).await;
    let rows: Value = rows.unwrap().json().await.unwrap();
    let signatures: Vec<String> = rows["rows"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["signature"].as_str().unwrap().to_owned())
        .collect();

    // What clients got: query to what they were charged, as the answer said.
    let got: Arc<Mutex<HashMap<String, u64>>> = Arc::default();
    let asked = Arc::new(AtomicUsize::new(0));
    let failed = Arc::new(AtomicUsize::new(0));
    let over = Arc::new(AtomicBool::new(false));
    let unexpected: Arc<RwLock<Vec<String>>> = Arc::default();
    let mut tasks = tokio::task::JoinSet::new();
    for (number, key) in keys.iter().cloned().enumerate() {
        let (urls, signatures, client) = (urls.clone(), signatures.clone(), client.clone());
        let (got, asked, failed, unexpected) = (
            got.clone(),
            asked.clone(),
            failed.clone(),
            unexpected.clone(),
        );
        tasks.spawn(async move {
            let mut random = StdRng::seed_from_u64(number as u64);
            while asked.fetch_add(1, Ordering::Relaxed) < queries {
                let signature = &signatures[random.random_range(0..signatures.len())];
                let body = json!({ "sql": "select slot from signatures where signature = $1", "params": [signature] });
                let url = &urls[random.random_range(0..urls.len())];
                let Ok(response) = ask(&client, url, &key, "/v1/query", Some(&body)).await else {
                    failed.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(random.random_range(1..20))).await;
                    continue;
                };
                let status = response.status().as_u16();
                let headers = response.headers().clone();
                let header = |name: &str| headers.get(name).map(|value| value.to_str().unwrap().to_owned());
                let body = response.text().await;
                match (status, header("streamsync-query-id"), header("streamsync-charged")) {
                    // Whether the body comes whole or not: the client has seen the first byte.
                    (200, Some(id), Some(charged)) => {
                        got.lock().unwrap().insert(id, charged.parse().unwrap());
                    }
                    (502..=504, ..) => {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                    _ => unexpected.write().unwrap().push(format!("{status} {body:?}")),
                }
            }
        });
    }
    let killing = async {
        let mut random = StdRng::seed_from_u64(7);
        let mut kills = 0;
        while !over.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(random.random_range(1_000..3_000))).await;
            if over.load(Ordering::Relaxed) {
                break;
            }
            let place = random.random_range(0..network.routers.len());
            network.routers[place].kill().await;
            network.routers[place].restart(&client).await;
            kills += 1;
        }
        kills
    };
    let asking = async {
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
        over.store(true, Ordering::Relaxed);
    };
    let ((), kills) = tokio::join!(asking, killing);
    assert_eq!(*unexpected.read().unwrap(), Vec::<String>::new());

    let registry = network.registry().await;
    let got = std::mem::take(&mut *got.lock().unwrap());
    // What one has not told yet it tells as it stops, or when it is back.
    network.routers[0].stop().await;
    network.routers[0].restart(&client).await;
    // Those of the last moments come after their answers.
    eventually(PATIENCE, async || {
        let receipts = all_receipts(&registry).await;
        let told: HashSet<String> = receipts
            .iter()
            .map(|signed| signed.receipt.query.to_string())
            .collect();
        got.keys().all(|query| told.contains(query))
    })
    .await;
    for router in &mut network.routers {
        router.stop().await;
    }
    let receipts = all_receipts(&registry).await;
    println!(
        "{} answered, {} failed, {} receipts, {kills} kills",
        got.len(),
        failed.load(Ordering::Relaxed),
        receipts.len()
    );
    assert!(
        kills >= 2 && got.len() > queries / 2,
        "{kills} kills, {} answers",
        got.len()
    );
    let mut by_query: HashMap<String, &SignedReceipt> = HashMap::new();
    let mut by_client: HashMap<String, u64> = HashMap::new();
    for signed in &receipts {
        assert!(signed.is_genuine() && signed.receipt.adds_up());
        let twice = by_query.insert(signed.receipt.query.to_string(), signed);
        assert!(twice.is_none(), "two receipts for one query");
        *by_client
            .entry(signed.receipt.client.to_string())
            .or_default() += signed.receipt.charged.0;
    }
    for (query, charged) in got.iter() {
        let signed = by_query
            .get(query)
            .unwrap_or_else(|| panic!("{query} was answered, and has no receipt"));
        assert_eq!(signed.receipt.charged.0, *charged);
    }
    let (mut debits, mut charged) = (0, 0);
    for number in 0..CLIENTS {
        let client = format!("client-{number}");
        let balance = registry.balance(&client.parse().unwrap()).await.unwrap();
        let own = by_client.get(&client).copied().unwrap_or_default();
        assert_eq!(balance.spent.0, own, "{client}");
        assert_eq!(balance.leased.0, 0, "{client}: {balance:?}");
        assert_eq!(
            balance.balance.0 + own,
            DEPOSIT + balance.debt.0,
            "{client}: {balance:?}"
        );
        assert_eq!(balance.debt.0, 0, "{client}: {balance:?}");
        debits += balance.spent.0;
        charged += own;
    }
    assert_eq!(
        debits,
        receipts
            .iter()
            .map(|signed| signed.receipt.charged.0)
            .sum::<u64>()
    );
    assert!(charged > 0);
}

/// Redis is away while queries are answered and the router is killed: it has their receipts when both
/// are back, once.
pub async fn receipts_without_redis() {
    let mut network = Network::secured().await;
    (0..3).for_each(|_| network.start_worker(&[]));
    network.start_router(&[]).await;
    let key = network
        .key("acme", &[Scope::Query, Scope::Operate], Limits::default())
        .await;
    network.add_credit("acme", 1_000_000_000, "one").await;
    let (client, url) = (network.client.clone(), network.routers[0].url.clone());
    let body = json!({ "sql": "select count(*) from blocks" });
    let answer = ask(&client, &url, &key, "/v1/query", Some(&body))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);

    network.redis.kill().await;
    let mut charged = 0;
    for _ in 0..5 {
        let answer = ask(&client, &url, &key, "/v1/query", Some(&body))
            .await
            .unwrap();
        let status = answer.status();
        let price = answer
            .headers()
            .get("streamsync-charged")
            .map(|price| price.to_str().unwrap().parse::<u64>().unwrap());
        assert_eq!(status, 200, "{}", answer.text().await.unwrap());
        charged += price.unwrap();
    }
    assert!(charged > 0);
    network.routers[0].kill().await;
    // Another Redis, which has lost everything: the six receipts come from the disk.
    network.redis.restart().await;
    network.routers[0].restart(&client).await;
    let registry = network.registry().await;
    eventually(PATIENCE, async || {
        registry.receipts(None, 100).await.unwrap().len() == 6
    })
    .await;
    let told = registry.receipts(None, 100).await.unwrap();
    let receipts: Vec<SignedReceipt> = told
        .iter()
        .map(|filed| serde_json::from_str(&filed.receipt).unwrap())
        .collect();
    let numbers: Vec<u64> = receipts
        .iter()
        .map(|signed| signed.receipt.number)
        .collect();
    assert_eq!(numbers, [1, 2, 3, 4, 5, 6]);
    // The account was lost with Redis: what was spent is owed.
    let spent: u64 = receipts.iter().map(|signed| signed.receipt.charged.0).sum();
    let balance = registry.balance(&"acme".parse().unwrap()).await.unwrap();
    assert_eq!((balance.spent.0, balance.debt.0), (spent, spent));
    assert!(spent >= charged);
}

/// A key with a limit of requests, used at three routers at once as much as it can be: all together
/// let through what the limit says, within a tenth.
pub async fn limit_over_routers() {
    const LIMIT: u64 = 300;
    let mut network = Network::secured().await;
    (0..3).for_each(|_| network.start_worker(&[]));
    for _ in 0..3 {
        network.start_router(&[]).await;
    }
    let limits = Limits {
        requests_per_minute: Some(LIMIT),
        ..Limits::default()
    };
    let urls: Vec<String> = network
        .routers
        .iter()
        .map(|router| router.url.clone())
        .collect();
    let client = network.client.clone();
    // Within one minute; the next begins to count anew.
    for attempt in 0..3 {
        let name = format!("client-{attempt}");
        let key = network.key(&name, &[Scope::Query], limits).await;
        let began = now_s() / 60;
        let (passed, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let hammer = async |url: &String| {
            // As long as there may be something left: refused for a second on end, all is used.
            let mut in_a_row = 0;
            while in_a_row < 100 {
                let response = ask(&client, url, &key, "/v1/credit", None).await.unwrap();
                match response.status().as_u16() {
                    200 => {
                        passed.fetch_add(1, Ordering::Relaxed);
                        in_a_row = 0;
                    }
                    429 => {
                        assert!(response.headers().contains_key("retry-after"));
                        refused.fetch_add(1, Ordering::Relaxed);
                        in_a_row += 1;
                        tokio::time::sleep(Duration::from_millis(10)).await;
                    }
                    other => panic!("{other}"),
                }
            }
        };
        futures::join!(hammer(&urls[0]), hammer(&urls[1]), hammer(&urls[2]));
        if now_s() / 60 != began {
            continue;
        }
        let passed = passed.into_inner() as u64;
        assert!(passed.abs_diff(LIMIT) * 10 <= LIMIT, "{passed} of {LIMIT}");
        assert!(refused.into_inner() > 0);
        return;
    }
    panic!("three minutes began in a row");
}
