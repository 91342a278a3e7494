//! Workers that lie, in every way, and what becomes of them.

use crate::{
    adversary::{Adversary, Trick},
    cluster::PATIENCE,
    network::Network,
};
use serde_json::{Value, json};
use streamsync_testing::eventually;

const SQL: &str = "select count(*) as answer from blocks";

async fn network(honest: usize) -> Network {
    let mut network = Network::synthetic().await;
    (0..honest).for_each(|_| network.start_worker(&[]));
    network.start_router(&[]).await;
    network.await_healthy(0, honest).await;
    network
}

fn header(response: &reqwest::Response, name: &str) -> String {
    let value = response.headers().get(name);
    value.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
}

/// Each of them is found out, excluded by all routers, and the evidence against it is in the lake,
/// where it can be asked for.
pub async fn found_out() {
    let mut network = network(5).await;
    network.start_router(&[]).await;
    let registry = network.registry().await;
    let honest = network.workers[0].endpoint.clone();
    let mut liars = Vec::new();
    for (seed, trick) in (1..).zip(Trick::ALL.into_iter().filter(|trick| trick.is_dishonest())) {
        let liar = Adversary::start([seed; 32], trick, &honest, &registry).await;
        let id = liar.id().to_string();
        eventually(PATIENCE, async || {
            let response = network.ask(0, json!({ "sql": SQL })).await.unwrap();
            assert_eq!(response.status(), 200);
            assert_ne!(header(&response, "streamsync-winner"), id);
            let body: Value = response.json().await.unwrap();
            assert_eq!(body["rows"], json!([{ "answer": 19 }]), "{trick:?}");
            let known = network.worker(0, &id).await;
            known.is_some_and(|known| known["excluded_until_ms"].is_u64())
        })
        .await;
        // The other router has never asked it.
        eventually(PATIENCE, async || {
            let known = network.worker(1, &id).await;
            known.is_some_and(|known| known["excluded_until_ms"].is_u64())
        })
        .await;
        let shown = network.get(1, &format!("/v1/workers/{id}")).await;
        assert_eq!(shown["convictions"], 1, "{trick:?}: {shown}");
        assert!(
            shown["reputation"]["score"].as_f64().unwrap() < 0.2,
            "{shown}"
        );
        liars.push((trick, id));
        drop(liar);
    }
    // The honest ones are none the worse for it.
    let listed = network.get(0, "/v1/workers").await;
    for worker in listed["workers"].as_array().unwrap() {
        let lied = liars.iter().any(|(_, id)| worker["worker"] == *id);
        assert_eq!(
            worker["convictions"].as_u64(),
            Some(u64::from(lied)),
            "{worker}"
        );
    }
    let sql = "select worker, offence, contradicted_by, query_id from evidence";
    eventually(PATIENCE, async || {
        let rows = network.rows(0, sql).await;
        rows.as_array().unwrap().len() == liars.len()
    })
    .await;
    let rows = network.rows(0, sql).await;
    for (trick, id) in liars {
        let found = rows
            .as_array()
            .unwrap()
            .iter()
            .find(|row| row["worker"] == id);
        let found = found.unwrap_or_else(|| panic!("no evidence of {trick:?} in {rows}"));
        let proven = trick == Trick::WrongRows || trick == Trick::Garbage;
        if proven && found["offence"] == "wrong-answer" {
            assert!(found["contradicted_by"].as_i64().unwrap() >= 3, "{found}");
            // What is in the lake is enough to accuse it.
            let (lake, redis) = (network.folder().join("lake"), network.redis.url());
            let (query, worker) = (&found["query_id"], id.to_string());
            let accused = crate::cluster::run(&[
                "slash",
                "propose",
                query.as_str().unwrap(),
                &worker,
                "--bucket",
                lake.to_str().unwrap(),
                "--redis-url",
                &redis,
            ])
            .await;
            assert!(accused.status.success(), "{accused:?}");
            let said = crate::cluster::text(&accused.stdout);
            assert!(said.contains(&format!("operator      {worker}")), "{said}");
        } else {
            assert_eq!(found["offence"], "dishonest", "{trick:?}");
        }
    }
}

/// A fast answer may be wrong, but not for long unnoticed.
pub async fn audited() {
    let network = network(4).await;
    let registry = network.registry().await;
    let honest = network.workers[0].endpoint.clone();
    let ask = async || {
        let asked = network
            .ask(0, json!({ "sql": SQL, "verify": "fast" }))
            .await;
        let response = asked.unwrap();
        assert_eq!(response.status(), 200);
        let id = header(&response, "streamsync-query-id");
        let winner = header(&response, "streamsync-winner");
        let body: Value = response.json().await.unwrap();
        (id, winner, body["rows"][0]["answer"].as_i64().unwrap())
    };
    let audit = async |id: &str| {
        let path = format!("/v1/queries/{id}/audit");
        eventually(PATIENCE, async || {
            network.get(0, &path).await["finding"].is_string()
        })
        .await;
        network.get(0, &path).await
    };
    let (id, winner, answer) = ask().await;
    assert_eq!(answer, 19);
    let found = audit(&id).await;
    assert_eq!(
        (found["finding"].as_str(), found["winner"].as_str()),
        (Some("confirmed"), Some(winner.as_str()))
    );
    assert!(found["verifiers"].as_array().unwrap().len() >= 2);

    // One that is caught before it was ever the first proves nothing, so another one comes.
    let mut refuted = false;
    for seed in 1..=20 {
        let liar = Adversary::start([seed; 32], Trick::WrongRows, &honest, &registry).await;
        let id_of_liar = liar.id().to_string();
        eventually(PATIENCE, async || {
            network.worker(0, &id_of_liar).await.is_some()
        })
        .await;
        while !network.worker(0, &id_of_liar).await.unwrap()["excluded_until_ms"].is_u64() {
            let (id, winner, answer) = ask().await;
            let found = audit(&id).await;
            let lied = winner == id_of_liar;
            assert_eq!(answer, if lied { 666 } else { 19 });
            let expected = if lied { "refuted" } else { "confirmed" };
            assert_eq!(found["finding"], expected, "{found}");
            refuted |= lied;
        }
        if refuted {
            break;
        }
    }
    assert!(refuted, "no liar was ever the first");
    let unknown = network.get(0, "/v1/queries/none/audit").await;
    assert_eq!(unknown["type"], "/problems/no-audit");
}

/// Three workers of one operator agree on a lie.
pub async fn one_operator() {
    let mut network = network(3).await;
    let folder = network.folder();
    // Four more of one operator, really: their grants are made by the command.
    let operator = folder.join("operator.json");
    streamsync_core::Identity::from_seed([50; 32])
        .write_new(&operator)
        .unwrap();
    for number in 0..4_u8 {
        let keypair = folder.join(format!("worker-{number}.json"));
        let identity = streamsync_core::Identity::from_seed([60 + number; 32]);
        identity.write_new(&keypair).unwrap();
        let arguments = [
            "grant",
            "--operator",
            operator.to_str().unwrap(),
            "--worker",
        ];
        let id = identity.id().to_string();
        let grant = crate::cluster::run(&[&arguments[..], &[&id]].concat()).await;
        assert!(grant.status.success());
        let file = folder.join(format!("grant-{number}.json"));
        std::fs::write(&file, &grant.stdout).unwrap();
        let flags = [
            "--keypair",
            keypair.to_str().unwrap(),
            "--operator-grant",
            file.to_str().unwrap(),
        ];
        network.start_worker(&flags);
    }
    network.await_healthy(0, 7).await;
    for number in 0..30 {
        let sql = format!("select {number} as n");
        let response = network.ask(0, json!({ "sql": sql })).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "streamsync-operators"), "3");
        assert_eq!(header(&response, "streamsync-quorum"), "");
    }
    // With two operators left there is no quorum of different ones, and the answer says so.
    for worker in &mut network.workers[..2] {
        worker.kill().await;
    }
    // Those who may still live count, so that nobody is made to disappear by a moment of silence:
    // until the two are known to have failed there is no quorum.
    eventually(PATIENCE, async || {
        let response = network.ask(0, json!({ "sql": "select 1" })).await.unwrap();
        assert!([200, 502].contains(&response.status().as_u16()));
        response.status() == 200
    })
    .await;
    let response = network.ask(0, json!({ "sql": "select 1" })).await.unwrap();
    assert_eq!(header(&response, "streamsync-operators"), "2");
    assert_eq!(header(&response, "streamsync-quorum"), "reduced");
}
