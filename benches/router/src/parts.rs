//! What is measured, one after the other.

use crate::{
    Fallible, Settings,
    load::{self, Latencies, Request},
    network::{Network, Shape},
    security::Security,
    slow_proxy, stages,
};
use reqwest::Client;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use streamsync_access::SigningKey;
use streamsync_core::clock::{Clock, SystemClock};
use streamsync_lake::tables;

/// Clients at once when the ceiling is measured.
const CLIENTS: usize = 32;
/// Queries before anything is measured.
const WARM_UP: usize = 2_000;

/// What keys, credit, receipts and TLS take of the router's CPU: the same load over an open network,
/// one with accounts, and one with TLS to its workers too, each twice and in turns.
pub async fn security(settings: &Settings) -> Fallible<()> {
    let client = Client::builder().no_proxy().tcp_nodelay(true).build()?;
    println!(
        "| what | CPU of the router for a query | p50 | p99 | failed |\n|---|---|---|---|---|"
    );
    let shapes = [
        ("open", false, false),
        ("signed, limited, paid, with receipts", true, false),
        ("and TLS to workers", true, true),
    ];
    let mut sums = [0.0; 3];
    for round in 0..2 {
        for (place, (name, accounts, tls)) in shapes.into_iter().enumerate() {
            let shape = Shape {
                security: Security { accounts, tls },
                ..Shape::default()
            };
            let network = Network::start(settings, shape).await?;
            let lookups = network.lookups(&client).await?;
            warm(&client, network.key.as_ref(), &through(&network, &lookups)).await;
            let before = network.router_cpu()?;
            let requests = through(&network, &lookups);
            let load = measure(&client, network.key.clone(), requests, settings).await?;
            let cpu = network.router_cpu()? - before;
            let each = cpu.as_secs_f64() * 1e6 / load.took.len().max(1) as f64;
            sums[place] += each / 2.0;
            let millis = |share: f64| load.at(share).as_secs_f64() * 1e3;
            println!(
                "| {name}, {} | {each:.0} us | {:.2} ms | {:.2} ms | {} |",
                round + 1,
                millis(0.5),
                millis(0.99),
                load.failed
            );
        }
    }
    let [open, accounts, tls] = sums;
    println!(
        "\nAccounts add {:.0} us, TLS {:.0} us.",
        accounts - open,
        tls - accounts
    );
    Ok(())
}

pub async fn all(settings: &Settings) -> Fallible<()> {
    let client = Client::builder().no_proxy().tcp_nodelay(true).build()?;
    println!(
        "{} queries/s for {} s, lookups by signature over {} transactions, 5 workers and a router \
         on {} cores, loopback HTTP/2 without TLS, policy {}.\n",
        settings.rate,
        settings.seconds,
        settings.blocks * 200,
        std::thread::available_parallelism()?,
        settings.policy,
    );

    let network = Network::start(settings, Shape::default()).await?;
    let lookups = network.lookups(&client).await?;
    warm(&client, None, &through(&network, &lookups)).await;
    let (cpu, before) = (
        network.router_cpu()?,
        stages::read(&client, &network.router).await?,
    );
    let full = measure(&client, None, through(&network, &lookups), settings).await?;
    let cpu = (network.router_cpu()? - cpu).as_secs_f64() / full.took.len().max(1) as f64;
    let after = stages::read(&client, &network.router).await?;
    println!("| what | p50 | p99 | p99.9 | failed |\n|---|---|---|---|---|");
    print("five racers, quorum of three", &full);

    let requests = through(&network, &lookups);
    let ceiling = load::ceiling(&client, None, &requests, CLIENTS, settings.seconds / 4.0).await?;
    let alone = single(settings, &client, &network, &lookups).await?;
    print("one worker, asked directly", &alone);
    drop(network);

    let one = Shape {
        racers: 1,
        confirmations: Some(0),
        ..Shape::default()
    };
    let network = Network::start(settings, one).await?;
    warm(&client, None, &through(&network, &lookups)).await;
    let one = measure(&client, None, through(&network, &lookups), settings).await?;
    print("one racer, through the router", &one);
    drop(network);

    let by = full.at(0.5) * 50;
    let detour = move |to: &str| slow_proxy::start(to, by);
    let shape = Shape {
        detour: Some(&detour),
        ..Shape::default()
    };
    let network = Network::start(settings, shape).await?;
    warm(&client, None, &through(&network, &lookups)).await;
    let slow = measure(&client, None, through(&network, &lookups), settings).await?;
    print(&format!("five racers, one {by:?} late"), &slow);

    println!(
        "\nThe router's CPU time for a raced lookup: {:.0} us.",
        cpu * 1e6
    );
    println!("Ceiling with {CLIENTS} clients: {ceiling:.0} queries/s.");
    let ratio = |one: Duration, other: Duration| one.as_secs_f64() / other.as_secs_f64();
    println!(
        "p99 of the quorum over that of one worker: {:.2}.",
        ratio(full.at(0.99), alone.at(0.99))
    );
    println!(
        "p99 with a slow racer over without: {:.2}.",
        ratio(slow.at(0.99), full.at(0.99))
    );
    println!("\n| stage | mean |\n|---|---|");
    for (stage, micros) in stages::means(&before, &after) {
        println!("| {stage} | {micros:.0} us |");
    }
    Ok(())
}

fn through(network: &Network, lookups: &[Value]) -> Vec<Request> {
    let url = format!("{}/v1/query", network.router);
    let request = |body: &Value| Request::post(url.clone(), body);
    lookups.iter().map(request).collect()
}

async fn warm(client: &Client, key: Option<&SigningKey>, requests: &[Request]) {
    for request in requests.iter().cycle().take(WARM_UP) {
        let sent = request.send(client, key).await;
        if let Ok(response) = sent {
            let _ = response.bytes().await;
        }
    }
}

async fn measure(
    client: &Client,
    key: Option<SigningKey>,
    requests: Vec<Request>,
    settings: &Settings,
) -> Fallible<Latencies> {
    load::run(
        client,
        key,
        Arc::new(requests),
        settings.rate,
        settings.seconds,
        settings.seed,
    )
    .await
}

/// The same lookups, sent to one worker as the router would.
async fn single(
    settings: &Settings,
    client: &Client,
    network: &Network,
    lookups: &[Value],
) -> Fallible<Latencies> {
    let h2 = Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()?;
    let table: Value = client
        .get(format!("{}/v1/tables/signatures", network.router))
        .send()
        .await?
        .json()
        .await?;
    let requests: Vec<Request> = lookups
        .iter()
        .filter_map(|lookup| {
            let signature = lookup["params"][0].as_str()?;
            let bucket = tables::bucket(signature).to_string();
            let url = format!("{}/v1/execute", network.workers[1]);
            let body = json!({
                    "id": "01890000-0000-7000-8000-000000000000",
                    "sql": "SELECT slot, transaction_index FROM signatures WHERE signature = $1",
                    "parameters": [signature],
                    "snapshot": { "signatures": table["version"] },
                    "partitions": [{ "table": "signatures", "values": { "bucket": bucket } }],
                    "constraints": { "signatures": [
                        { "column": "signature", "op": { "eq": signature } }
                    ] },
                    "ordered": false,
                    "time_left_ms": 10_000,
                    "max_rows": 1_000,
                    "max_bytes": 1_000_000,
            });
            Some(Request::post(url, &body))
        })
        .collect();
    warm(&h2, None, &requests).await;
    if let Some(file) = &settings.service_times {
        let mut times = Vec::new();
        for request in requests.iter().cycle().take(5_000) {
            let began = SystemClock.monotonic();
            let response = request.send(&h2, None).await?;
            response.error_for_status()?.bytes().await?;
            times.push((SystemClock.monotonic() - began).as_secs_f64() * 1e6);
        }
        std::fs::write(file, serde_json::to_vec(&times)?)?;
    }
    measure(&h2, None, requests, settings).await
}

fn print(what: &str, latencies: &Latencies) {
    let millis = |share: f64| latencies.at(share).as_secs_f64() * 1e3;
    println!(
        "| {what} | {:.2} ms | {:.2} ms | {:.2} ms | {} |",
        millis(0.5),
        millis(0.99),
        millis(0.999),
        latencies.failed,
    );
}
