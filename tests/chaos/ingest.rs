//! Ingest: run again and again over more blocks, each time until it succeeds.

use crate::{
    network::Network,
    process::{DRAIN, Recipe, signal},
    schedule::{Action, Target},
};
use std::{path::Path, sync::Arc, time::Duration};
use streamsync_core::clock::{Clock, SystemClock};
use tokio::{
    process::Child,
    sync::{mpsc, oneshot},
};

/// How many slots the lake has before the storm, and how many more come each time.
pub const BASE: u64 = 80;
const STEP: u64 = 20;
/// Transactions a second: about eight a block.
const RATE: u64 = 20;

/// What is to happen to ingest, and whom to tell when it has.
pub struct Blow {
    pub action: Action,
    pub after: Duration,
    pub done: oneshot::Sender<()>,
}

/// The made-up blocks of one run: so many slots from the first on.
pub fn blocks(seed: u64, slots: u64) -> String {
    format!("{},{slots},{RATE}", seed % 1_000)
}

/// The slots of each run that has succeeded: `runs` after the first.
pub fn stages(runs: usize) -> impl Iterator<Item = u64> {
    (0..=runs as u64).map(|run| BASE + run * STEP)
}

/// How to ingest so many slots into a bucket.
pub fn recipe(
    bucket: &[String],
    environment: Vec<(String, String)>,
    blocks: &str,
    log: &Path,
) -> Recipe {
    let mut arguments = vec![
        "ingest".to_owned(),
        "--synthetic".to_owned(),
        blocks.to_owned(),
    ];
    arguments.extend(bucket.iter().cloned());
    Recipe {
        name: format!("ingest of {blocks}"),
        arguments,
        environment,
        log: log.to_owned(),
    }
}

/// Runs of ingest, and what happens to them.
pub struct Ingest {
    network: Arc<Network>,
    seed: u64,
    blows: mpsc::Receiver<Blow>,
    runs: usize,
}

impl Ingest {
    pub fn new(network: Arc<Network>, seed: u64, blows: mpsc::Receiver<Blow>) -> Self {
        Self {
            network,
            seed,
            blows,
            runs: 0,
        }
    }

    /// Ingests more every so often, and whenever a blow needs something to strike, until nobody strikes
    /// any more. Returns how many runs there were besides the first.
    pub async fn run(mut self, every: Duration) -> usize {
        loop {
            let next = tokio::time::timeout(every, self.blows.recv()).await;
            let blow = match next {
                Ok(None) => return self.runs,
                Ok(Some(blow)) => Some(blow),
                Err(_) => None,
            };
            self.stage(blow).await;
        }
    }

    /// Ingests the next blocks, until that has succeeded.
    async fn stage(&mut self, mut blow: Option<Blow>) {
        let slots = stages(self.runs + 1).last().unwrap();
        let network = &self.network;
        let flags = network.bucket.flags();
        let log = network.log("ingest");
        let environment = network.environment();
        let recipe = recipe(&flags, environment, &blocks(self.seed, slots), &log);
        loop {
            let began = SystemClock.monotonic();
            let mut child = recipe.command().spawn().unwrap();
            let mut struck = false;
            let status = loop {
                if let Some(blow) = blow.take() {
                    struck |= strike(&self.network, &mut child, blow).await;
                }
                tokio::select! {
                    status = child.wait() => break status.unwrap(),
                    Some(next) = self.blows.recv() => blow = Some(next),
                }
            };
            if status.success() {
                self.runs += 1;
                return;
            }
            let outages = &self.network.outages;
            let now = SystemClock.monotonic();
            if !struck && !outages.touched(Target::Bucket, began, now, Duration::ZERO) {
                let what = format!("{} ended with {status}, untouched", recipe.name);
                self.network.violations.note(what);
            }
        }
    }
}

/// Strikes a run that may end by itself meanwhile. True if it did not get to its end by itself.
async fn strike(network: &Network, child: &mut Child, blow: Blow) -> bool {
    let ended = tokio::time::timeout(blow.after, child.wait()).await.is_ok();
    let stalls = blow.action == Action::Stall;
    if let (false, Some(id)) = (ended, child.id()) {
        match blow.action {
            Action::Kill => child.kill().await.unwrap(),
            Action::Stall => {
                signal(id, "STOP");
                tokio::time::sleep(blow.after).await;
                signal(id, "CONT");
            }
            _ => {
                signal(id, "TERM");
                if tokio::time::timeout(DRAIN, child.wait()).await.is_err() {
                    let what = format!("ingest was told to stop and still ran after {DRAIN:?}");
                    network.violations.note(what);
                    child.kill().await.unwrap();
                }
            }
        }
    }
    // Nobody waits for it where the storm is over.
    let _ = blow.done.send(());
    !ended && !stalls
}
