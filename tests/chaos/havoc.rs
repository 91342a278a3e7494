//! Lets happen what is scheduled.

use crate::{
    ingest::Blow,
    network::Network,
    process::Process,
    schedule::{Action, Event, Target, seconds},
    tally::Tally,
};
use std::sync::Arc;
use streamsync_core::clock::{Clock, SystemClock};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    task::JoinSet,
    time::Instant,
};

/// Lets all events happen, each at its time, and waits until what they broke is mended.
pub async fn wreak(
    network: Arc<Network>,
    events: Vec<Event>,
    ingest: mpsc::Sender<Blow>,
    tally: Tally,
) {
    let began = Instant::now();
    let mut happening = JoinSet::new();
    for event in events {
        tokio::time::sleep_until(began + event.at).await;
        tally.add(event.kind());
        println!("{} {event}", seconds(SystemClock.monotonic()));
        happening.spawn(happen(Arc::clone(&network), event, ingest.clone()));
    }
    while let Some(ended) = happening.join_next().await {
        ended.unwrap();
    }
}

async fn happen(network: Arc<Network>, event: Event, ingest: mpsc::Sender<Blow>) {
    match event.target {
        Target::Worker(place) => strike(&network, &network.workers[place], event).await,
        Target::Router(place) => strike(&network, &network.routers[place], event).await,
        Target::Compactor(place) => strike(&network, &network.compactors[place], event).await,
        Target::Redis | Target::Registry => strike_redis(&network, event).await,
        Target::Bucket => {
            let Action::Fail(fault) = event.action else {
                return;
            };
            let _outage = network.outages.begin(Target::Bucket);
            network.bucket.fail(fault, event.at.as_millis() as u64);
            tokio::time::sleep(event.lasts).await;
            network.bucket.heal();
        }
        Target::Ingest => {
            let (done, told) = oneshot::channel();
            let blow = Blow {
                action: event.action,
                after: event.lasts,
                done,
            };
            ingest.send(blow).await.unwrap();
            told.await.unwrap();
        }
    }
}

async fn strike(network: &Network, process: &Mutex<Process>, event: Event) {
    let mut process = process.lock().await;
    if let Some(status) = process.ended() {
        let what = format!("{} ended by itself with {status}", event.target);
        network.violations.note(what);
        process.restart().await;
        return;
    }
    match event.action {
        Action::Stall => {
            // A connection may come to the end of its time meanwhile, and be closed before what came is read.
            let _outage = network.outages.begin(event.target);
            process.signal("STOP");
            tokio::time::sleep(event.lasts).await;
            process.signal("CONT");
        }
        Action::Kill => {
            let _outage = network.outages.begin(event.target);
            process.kill().await;
            tokio::time::sleep(event.lasts).await;
            process.restart().await;
        }
        _ => {
            let _outage = network.outages.begin(event.target);
            if let Err(what) = process.drain().await {
                network.violations.note(what);
            }
            tokio::time::sleep(event.lasts).await;
            process.restart().await;
        }
    }
}

async fn strike_redis(network: &Network, event: Event) {
    let mut redis = network.redis.lock().await;
    let _outage = network.outages.begin(Target::Redis);
    match event.action {
        Action::Stall => {
            redis.signal("STOP");
            tokio::time::sleep(event.lasts).await;
            redis.signal("CONT");
        }
        Action::Kill => {
            redis.kill().await;
            tokio::time::sleep(event.lasts).await;
            redis.restart().await;
        }
        _ => {
            let _outage = network.outages.begin(Target::Registry);
            redis.kill().await;
            redis.wipe();
            tokio::time::sleep(event.lasts).await;
            redis.restart().await;
            network.open_accounts(redis.registry().await).await;
        }
    }
}
