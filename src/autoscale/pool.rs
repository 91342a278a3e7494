//! The workers of a machine: some run, some drain.

use crate::{
    Failure,
    settings::Settings,
    worker_process::{WorkerFiles, WorkerProcess},
};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};
use streamsync_core::Identity;
use streamsync_tls::Authority;

/// After how long a worker that ended by itself is started again: doubled each time that it does so soon.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A worker that ran for so long did not end soon.
const LONG: Duration = Duration::from_secs(60);
/// How often certificates are made anew; the workers take them up.
const CERTIFIED_EVERY: Duration = Duration::from_secs(86_400);

/// How workers are started.
pub struct Recipe {
    /// Flags that they share with this process.
    pub settings: Settings,
    /// Flags of their own.
    pub more: Vec<String>,
    /// Where their key pairs and certificates are kept.
    pub folder: PathBuf,
    /// Who signs certificates; `None` where nobody has to show who he is.
    pub authority: Option<Authority>,
    /// Who runs them; `None` if each is its own operator.
    pub operator: Option<Identity>,
}

/// Worker processes by number. A number has one process at a time, and the same identity each time.
pub struct Pool {
    recipe: Recipe,
    workers: BTreeMap<usize, Member>,
    /// When those that ended by themselves may be started again, and after which pause.
    pauses: BTreeMap<usize, (Duration, Duration)>,
    certified: Duration,
}

struct Member {
    process: WorkerProcess,
    drains: bool,
    since: Duration,
}

impl Pool {
    /// No workers yet, at a time of a monotonic clock.
    pub fn new(recipe: Recipe, now: Duration) -> Self {
        Self {
            recipe,
            workers: BTreeMap::new(),
            pauses: BTreeMap::new(),
            certified: now,
        }
    }

    /// How many run and take queries.
    pub fn running(&self) -> usize {
        self.workers
            .values()
            .filter(|worker| !worker.drains)
            .count()
    }

    /// How many end what they have.
    pub fn draining(&self) -> usize {
        self.workers.len() - self.running()
    }

    /// Starts and drains workers until so many run. Those that have ended are forgotten.
    pub fn scale(&mut self, wanted: usize, now: Duration) -> Result<(), Failure> {
        self.bury(now);
        self.certify(now)?;
        let surplus = self.running().saturating_sub(wanted);
        // The newest first: the others have more at hand.
        let running = self.workers.iter_mut().rev();
        for (number, worker) in running.filter(|(_, worker)| !worker.drains).take(surplus) {
            tracing::info!(number, "a worker drains");
            metrics::counter!("streamsync_autoscale_drained_total").increment(1);
            worker.process.drain();
            worker.drains = true;
        }
        let mut missing = wanted.saturating_sub(self.running());
        let mut number = 0;
        while missing > 0 {
            // A number whose worker still drains is taken, and one that has just failed pauses; it counts
            // as if it ran, or another would be started in its place each time.
            let pauses = self
                .pauses
                .get(&number)
                .is_some_and(|(until, _)| *until > now);
            if pauses {
                missing -= 1;
            } else if !self.workers.contains_key(&number) {
                self.start(number, now)?;
                missing -= 1;
            }
            number += 1;
        }
        metrics::gauge!("streamsync_autoscale_workers", "state" => "running")
            .set(self.running() as f64);
        metrics::gauge!("streamsync_autoscale_workers", "state" => "draining")
            .set(self.draining() as f64);
        Ok(())
    }

    fn start(&mut self, number: usize, now: Duration) -> Result<(), Failure> {
        let Recipe {
            settings,
            more,
            folder,
            authority,
            operator,
        } = &self.recipe;
        let files = WorkerFiles::make(folder, number, authority.as_ref(), operator.as_ref())?;
        let process = WorkerProcess::start(settings, &files, more)?;
        tracing::info!(number, "a worker is started");
        metrics::counter!("streamsync_autoscale_started_total").increment(1);
        let member = Member {
            process,
            drains: false,
            since: now,
        };
        self.workers.insert(number, member);
        Ok(())
    }

    fn bury(&mut self, now: Duration) {
        let pauses = &mut self.pauses;
        self.workers.retain(|number, worker| {
            if !worker.process.has_ended() {
                return true;
            }
            if worker.drains {
                pauses.remove(number);
                return false;
            }
            let last = pauses.get(number).map(|(_, pause)| *pause);
            let pause = match last {
                Some(last) if now.saturating_sub(worker.since) < LONG => {
                    (last * 2).min(LONGEST_PAUSE)
                }
                _ => SHORTEST_PAUSE,
            };
            tracing::error!(
                number,
                ?pause,
                "a worker ended by itself; it is started again"
            );
            pauses.insert(*number, (now + pause, pause));
            false
        });
    }

    fn certify(&mut self, now: Duration) -> Result<(), Failure> {
        if now.saturating_sub(self.certified) < CERTIFIED_EVERY {
            return Ok(());
        }
        self.certified = now;
        let (authority, operator) = (&self.recipe.authority, &self.recipe.operator);
        for number in self.workers.keys() {
            let folder = &self.recipe.folder;
            WorkerFiles::make(folder, *number, authority.as_ref(), operator.as_ref())?;
        }
        Ok(())
    }

    /// Drains all of them, and ends those that take longer.
    pub async fn stop(mut self, drain: Duration) {
        for worker in self.workers.values_mut() {
            worker.process.drain();
        }
        let all = async {
            for worker in self.workers.values_mut() {
                worker.process.ended().await;
            }
        };
        if tokio::time::timeout(drain, all).await.is_err() {
            tracing::warn!("workers still run after the time for draining; ending them");
        }
    }
}
