//! Keys and credit, as those change them who may: with commands, and over HTTP.

use crate::{
    billing::ask,
    cluster::{PATIENCE, run, text},
    network::Network,
};
use serde_json::{Value, json};
use std::{
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};
use streamsync_access::SigningKey;
use streamsync_core::{Amount, Identity, Limits, Scope, SignedReceipt};
use streamsync_registry::SettledBatch;
use streamsync_testing::eventually;

/// The commands, as an operator uses them: keys, credit, a query, its receipt, rotation, revocation.
pub async fn commands() {
    let mut network = Network::secured().await;
    (0..3).for_each(|_| network.start_worker(&[]));
    network.start_router(&[]).await;
    let folder = network.folder();
    let (redis, master) = (network.redis.url(), network.master().display().to_string());
    let url = network.routers[0].url.clone();
    let access = ["--redis-url", &redis, "--master-secrets", &master];
    let file = |name: &str| folder.join(name).display().to_string();
    let (key_file, new_file, receipts_file) =
        (file("acme.json"), file("new.json"), file("receipts.jsonl"));
    let succeed = async |arguments: &[&str]| {
        let output = run(arguments).await;
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            text(&output.stderr)
        );
        text(&output.stdout)
    };
    let create = [
        &[
            "keys", "create", "--client", "acme", "--scope", "query", "--out", &key_file,
        ][..],
        &access,
    ]
    .concat();
    let created = succeed(&create).await;
    let id = created.split_whitespace().next().unwrap().to_owned();
    let again = run(&create).await;
    assert!(!again.status.success(), "a key file is never replaced");

    let query = [
        "query",
        "select 41 + 1 as n",
        "--format",
        "csv",
        "--router",
        &url,
        "--key",
        &key_file,
    ];
    let unpaid = run(&query).await;
    assert!(
        text(&unpaid.stderr).contains("add credit"),
        "{}",
        text(&unpaid.stderr)
    );
    let add = [
        &["credit", "add", "acme", "1000000000", "--deposit", "one"][..],
        &access,
    ]
    .concat();
    assert!(succeed(&add).await.contains("1 STRM left"));
    assert!(succeed(&add).await.contains("was added before"));
    assert_eq!(succeed(&query).await, "n\n42\n");

    let list = ["receipts", "list", "--router", &url, "--key", &key_file];
    // They come a moment after their answers.
    eventually(PATIENCE, async || !succeed(&list).await.is_empty()).await;
    let receipts = succeed(&list).await;
    std::fs::write(&receipts_file, &receipts).unwrap();
    let verified = succeed(&["receipts", "verify", &receipts_file]).await;
    assert!(
        verified.contains("all are signed, add up, and are there once"),
        "{verified}"
    );
    std::fs::write(
        &receipts_file,
        receipts.replace("\"charged\":", "\"charged\":1"),
    )
    .unwrap();
    let forged = run(&["receipts", "verify", &receipts_file]).await;
    assert!(!forged.status.success() && text(&forged.stderr).contains("is not signed by"));

    let rotate = [&["keys", "rotate", &id, "--out", &new_file][..], &access].concat();
    succeed(&rotate).await;
    let mut with_new = query;
    with_new[7] = &new_file;
    eventually(PATIENCE, async || run(&with_new).await.status.success()).await;
    assert_eq!(
        succeed(&query).await,
        "n\n42\n",
        "the old secret holds for a while"
    );
    assert!(
        succeed(&[&["keys", "list"][..], &access].concat())
            .await
            .contains("2 secret(s)")
    );
    let old = SigningKey::read(Path::new(&key_file)).unwrap();
    let client = network.client.clone();
    let asked = async || {
        let body = json!({ "sql": "select 41 + 1 as n" });
        let answer = ask(&client, &url, &old, "/v1/query", Some(&body)).await;
        answer.unwrap().status()
    };
    assert_eq!(asked().await, 200);
    succeed(&[&["keys", "revoke", &id][..], &access].concat()).await;
    eventually(Duration::from_secs(2), async || asked().await == 401).await;
    assert!(text(&run(&with_new).await.stderr).contains("was revoked"));
    let unsigned = run(&["query", "select 1", "--router", &url]).await;
    assert!(
        text(&unsigned.stderr).contains("not signed"),
        "{}",
        text(&unsigned.stderr)
    );

    // All of it is on record, in the end in the lake.
    let operator = network
        .key("ops", &[Scope::Operate], Limits::default())
        .await;
    let client = network.client.clone();
    let lake = folder.join("lake/admin_log/_delta_log");
    eventually(PATIENCE, async || {
        lake.join("00000000000000000001.json").exists()
    })
    .await;
    let log = ask(&client, &url, &operator, "/v1/admin-log", None)
        .await
        .unwrap();
    assert_eq!(log.status(), 200);
}

/// The addresses about keys, credit, prices and quotes.
pub async fn addresses() {
    let mut network = Network::secured().await;
    (0..3).for_each(|_| network.start_worker(&[]));
    network.start_router(&[]).await;
    let scopes = [Scope::Query, Scope::Operate, Scope::Admin];
    let root = network
        .key(
            "ops",
            &scopes,
            Limits {
                requests_per_minute: Some(60_000),
                ..Limits::default()
            },
        )
        .await;
    let (client, url) = (network.client.clone(), network.routers[0].url.clone());
    let post = async |target: &str, body: Value| {
        let response = ask(&client, &url, &root, target, Some(&body))
            .await
            .unwrap();
        (
            response.status().as_u16(),
            response.json::<Value>().await.unwrap(),
        )
    };
    let get = async |target: &str| {
        let response = ask(&client, &url, &root, target, None).await.unwrap();
        (
            response.status().as_u16(),
            response.json::<Value>().await.unwrap(),
        )
    };
    let (status, made) = post(
        "/v1/keys",
        json!({ "client": "acme", "scopes": ["query"], "limits": { "concurrent": 4 } }),
    )
    .await;
    assert_eq!(status, 201, "{made}");
    let key = SigningKey {
        id: made["key"].as_str().unwrap().parse().unwrap(),
        secret: made["secret"].as_str().unwrap().parse().unwrap(),
    };
    let (_, listed) = get("/v1/keys").await;
    assert_eq!(listed["keys"].as_array().unwrap().len(), 2);
    assert!(
        !listed
            .to_string()
            .contains(made["secret"].as_str().unwrap())
    );
    assert_eq!(
        post("/v1/keys", json!({ "client": "acme", "scopes": [] }))
            .await
            .0,
        400
    );
    assert_eq!(
        post(
            "/v1/keys/key_00000000000000000000000000000000/rotate",
            json!({})
        )
        .await
        .0,
        404
    );
    let deposit = json!({ "amount": 500_000, "deposit": "card-1" });
    let (status, credit) = post("/v1/credit/acme", deposit.clone()).await;
    assert_eq!(
        (status, &credit["balance"], &credit["added"]),
        (200, &json!(500_000), &json!(true))
    );
    assert_eq!(
        post("/v1/credit/acme", deposit).await.1["added"],
        json!(false)
    );

    let sql = json!({ "sql": "select * from signatures where signature = 'x'" });
    let quote = ask(&client, &url, &key, "/v1/quote", Some(&sql))
        .await
        .unwrap();
    let quote: Value = quote.json().await.unwrap();
    assert_eq!(quote["class"], "lookup");
    assert_eq!(
        quote["partitions"].as_array().unwrap().len() as u64,
        1,
        "{quote}"
    );
    assert!(quote["bytes"].as_u64().unwrap() > 0 && quote["price"].as_u64().unwrap() > 0);
    let answer = ask(&client, &url, &key, "/v1/query", Some(&sql))
        .await
        .unwrap();
    let headers = answer.headers().clone();
    let header = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(header("streamsync-price"), quote["price"].to_string());
    assert!(["none", "kept", "broken"].contains(&header("streamsync-promise").as_str()));
    assert_eq!(header("streamsync-receipt"), "1");
    let charged: u64 = header("streamsync-charged").parse().unwrap();
    eventually(PATIENCE, async || {
        let credit = ask(&client, &url, &key, "/v1/credit", None).await.unwrap();
        let credit: Value = credit.json().await.unwrap();
        credit["spent"] == json!(charged)
    })
    .await;
    let (_, prices) = get("/v1/prices").await;
    assert!(prices["now"]["scan"]["multiplier"].as_f64().unwrap() > 0.0);
    // An idle network gets cheaper, and that is kept.
    eventually(PATIENCE, async || {
        let (_, prices) = get("/v1/prices").await;
        prices["history"].as_array().unwrap().len() >= 2
    })
    .await;
    let response = ask(&client, &url, &root, "/v1/quote", Some(&sql))
        .await
        .unwrap();
    assert_eq!(
        response.headers()["ratelimit-policy"],
        "\"requests\";q=60000;w=60"
    );
    assert!(response.headers().contains_key("ratelimit"));
    let deposits = AtomicU32::new(0);
    // An act is in the log until it is in the lake, where it may go between the two requests.
    eventually(PATIENCE, async || {
        let name = format!("more-{}", deposits.fetch_add(1, Ordering::Relaxed));
        post("/v1/credit/acme", json!({ "amount": 1, "deposit": name })).await;
        let (status, log) = get("/v1/admin-log").await;
        assert_eq!(status, 200);
        let newest = &log["acts"][0];
        newest["action"] == "add-credit" && newest["detail"]["deposit"] == name
    })
    .await;
}

/// Settled batches and rewards, as the registry has them.
pub async fn settlements() {
    let mut network = Network::secured().await;
    (0..3).for_each(|_| network.start_worker(&[]));
    network.start_router(&[]).await;
    let registry = network.registry().await;
    let worker = Identity::from_seed([100; 32]).id();
    let paid = |number: u64| [(worker, Amount(1_000 + number))];
    for number in 1..=3 {
        let batch = settled(number);
        // Told twice, it counts once.
        for _ in 0..2 {
            registry
                .publish_settlement(&batch, &paid(number))
                .await
                .unwrap();
        }
    }
    let key = network
        .key("acme", &[Scope::Query], Limits::default())
        .await;
    let (client, url) = (network.client.clone(), network.routers[0].url.clone());
    let get = async |target: &str| {
        let response = ask(&client, &url, &key, target, None).await.unwrap();
        let status = response.status().as_u16();
        (status, response.json::<Value>().await.unwrap())
    };
    let numbers = |listed: &Value| -> Vec<u64> {
        let listed = listed["settlements"].as_array().unwrap().iter();
        listed
            .map(|batch| batch["batch"].as_u64().unwrap())
            .collect()
    };
    assert_eq!(numbers(&get("/v1/settlements").await.1), [3, 2, 1]);
    let page = get("/v1/settlements?before=3&limit=1").await;
    assert_eq!(numbers(&page.1), [2]);
    let shown = get("/v1/settlements/2").await;
    assert_eq!(shown, (200, json!(settled(2))));
    for unknown in [
        "/v1/settlements/4",
        "/v1/settlements/x",
        "/v1/settlements/18446744073709551615",
    ] {
        let (status, problem) = get(unknown).await;
        assert_eq!(
            (status, &problem["type"]),
            (404, &json!("/problems/unknown-batch"))
        );
    }
    assert_eq!(get("/v1/settlements?limit=x").await.0, 400);

    network.add_credit("acme", 1_000_000_000, "one").await;
    let body = json!({ "sql": "select program_id, count(*) from instructions group by 1" });
    let answer = ask(&client, &url, &key, "/v1/query", Some(&body))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    eventually(PATIENCE, async || {
        registry.receipts(None, 10).await.unwrap().len() == 1
    })
    .await;
    let filed = registry.receipts(None, 10).await.unwrap().remove(0);
    let signed: SignedReceipt = serde_json::from_str(&filed.receipt).unwrap();
    let winner = signed.receipt.winner;
    let pending = async || {
        let rewards = get(&format!("/v1/rewards/{winner}")).await.1;
        assert_eq!(rewards["pending_complete"], true);
        rewards["workers"][0]["pending"].as_u64().unwrap()
    };
    assert_eq!(pending().await, signed.receipt.split.winner.0);
    // As the settlement says once it is in a batch.
    let settled = [(signed.receipt.router, 1)].into();
    registry.note_settled(&settled).await.unwrap();
    assert_eq!(pending().await, 0);
    let rewards = get(&format!("/v1/rewards/{worker}")).await.1;
    let expected =
        json!({ "since_batch": 1, "last_batch": 3, "last_amount": 1_003, "total": 3_006 });
    for (field, value) in expected.as_object().unwrap() {
        assert_eq!(&rewards["workers"][0][field], value, "{rewards}");
    }
    let shown = crate::cluster::streamsync()
        .args(["rewards", &worker.to_string(), "--router", &url])
        .args(["--key", &key_file(&network, &key)])
        .output()
        .await
        .unwrap();
    let said = text(&shown.stdout);
    assert!(
        said.contains("since batch 1, the last in batch 3"),
        "{shown:?}"
    );
}

fn key_file(network: &Network, key: &SigningKey) -> String {
    let file = network.folder().join("acme.json");
    key.write_new(&file).unwrap();
    file.display().to_string()
}

fn settled(number: u64) -> SettledBatch {
    SettledBatch {
        batch: number,
        address: "11111111111111111111111111111111".to_owned(),
        settled_at: 1_710_374_400,
        receipts: 4,
        rewards: 1,
        charged: Amount(2_000),
        total: Amount(1_000 + number),
        root: "07".repeat(32),
        file: streamsync_core::settlement_file(number),
        file_hash: "08".repeat(32),
    }
}
