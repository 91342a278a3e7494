//! The workers of a machine: some run, some drain.

use crate::{
    Failure,
    settings::Settings,
    worker_process::{WorkerFiles, WorkerProcess},
};
use std::{collections::BTreeMap, net::IpAddr, path::PathBuf, time::Duration};
use streamsync_core::{Identity, with_causes};
use streamsync_tls::Authority;

/// After how long a worker that ended by itself is started again: doubled each time that it does so soon.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A worker that ran for so long did not end soon.
const LONG: Duration = Duration::from_secs(60);
/// How often certificates are made anew; the workers take them up.
const CERTIFIED_EVERY: Duration = Duration::from_secs(86_400);
/// How soon again where that failed.
const CERTIFIED_AGAIN: Duration = Duration::from_secs(60);
/// From when on what is said of queues has to do with a worker that was started.
const SEASONED_AFTER: Duration = Duration::from_secs(5);

/// How workers are started.
pub struct Recipe {
    /// Flags that they share with this process.
    pub settings: Settings,
    /// Flags of their own.
    pub more: Vec<String>,
    /// Where routers reach them.
    pub host: IpAddr,
    /// Where their key pairs and certificates are kept.
    pub folder: PathBuf,
    /// The folder of who signs certificates; `None` where nobody has to show who he is.
    pub authority: Option<PathBuf>,
    /// Who runs them; `None` if each is its own operator.
    pub operator: Option<Identity>,
    /// How long one may take to drain.
    pub drain: Duration,
}

impl Recipe {
    /// The files of a worker, its certificate anew.
    fn files(&self, number: usize) -> Result<WorkerFiles, Failure> {
        // Opened each time: it may have been replaced.
        let authority = self.authority.as_deref().map(Authority::open).transpose()?;
        WorkerFiles::make(
            &self.folder,
            number,
            authority.as_ref(),
            self.operator.as_ref(),
        )
    }

    fn start(&self, number: usize) -> Result<WorkerProcess, Failure> {
        let files = self.files(number)?;
        WorkerProcess::start(&self.settings, &files, self.host, &self.more)
    }

    /// Whom workers are told to trust.
    fn trusted(&self) -> Option<Vec<u8>> {
        let folder = self.authority.as_ref()?;
        std::fs::read(folder.join(Authority::CERTIFICATE)).ok()
    }
}

/// Worker processes by number. A number has one process at a time, and the same identity each time.
pub struct Pool {
    recipe: Recipe,
    workers: BTreeMap<usize, Member>,
    /// When those that ended by themselves may be started again, and after which pause.
    pauses: BTreeMap<usize, (Duration, Duration)>,
    /// When all get certificates anew, and whom they were told to trust last.
    certify_at: Duration,
    trusted: Option<Vec<u8>>,
}

struct Member {
    process: WorkerProcess,
    since: Duration,
    /// Since when it drains.
    drains: Option<Duration>,
}

impl Pool {
    /// No workers yet, at a time of a monotonic clock.
    pub fn new(recipe: Recipe, now: Duration) -> Self {
        Self {
            workers: BTreeMap::new(),
            pauses: BTreeMap::new(),
            certify_at: now + CERTIFIED_EVERY,
            trusted: recipe.trusted(),
            recipe,
        }
    }

    /// How many run and take queries.
    pub fn running(&self) -> usize {
        let members = self.workers.values();
        members.filter(|worker| worker.drains.is_none()).count()
    }

    /// How many of those have done so for a while.
    pub fn seasoned(&self, now: Duration) -> usize {
        let seasoned = |worker: &&Member| {
            worker.drains.is_none() && now.saturating_sub(worker.since) >= SEASONED_AFTER
        };
        self.workers.values().filter(seasoned).count()
    }

    /// How many end what they have.
    pub fn draining(&self) -> usize {
        self.workers.len() - self.running()
    }

    /// Starts and drains workers until so many run. Those that have ended are forgotten. One that cannot be
    /// started is tried again; the others are left alone.
    pub fn scale(&mut self, wanted: usize, now: Duration) {
        self.bury(now);
        self.certify(now);
        let surplus = self.running().saturating_sub(wanted);
        // The newest first: the others have more at hand.
        let running = self.workers.iter_mut().rev();
        let running = running.filter(|(_, worker)| worker.drains.is_none());
        for (number, worker) in running.take(surplus) {
            tracing::info!(number, "a worker drains");
            metrics::counter!("streamsync_autoscale_drained_total").increment(1);
            worker.process.drain();
            worker.drains = Some(now);
        }
        let mut missing = wanted.saturating_sub(self.running());
        let mut number = 0;
        while missing > 0 {
            // A number whose worker still drains is taken, and one that has just failed pauses; it counts
            // as if it ran, or another would be started in its place each time.
            if !self.workers.contains_key(&number) {
                let pause = self.pauses.get(&number);
                if pause.is_none_or(|(until, _)| *until <= now) {
                    self.start(number, now);
                }
                missing -= 1;
            }
            number += 1;
        }
        metrics::gauge!("streamsync_autoscale_workers", "state" => "running")
            .set(self.running() as f64);
        metrics::gauge!("streamsync_autoscale_workers", "state" => "draining")
            .set(self.draining() as f64);
    }

    fn start(&mut self, number: usize, now: Duration) {
        match self.recipe.start(number) {
            Ok(process) => {
                tracing::info!(number, "a worker is started");
                metrics::counter!("streamsync_autoscale_started_total").increment(1);
                let member = Member {
                    process,
                    since: now,
                    drains: None,
                };
                self.workers.insert(number, member);
            }
            Err(error) => {
                let pause = self.pause(number, now, true);
                let error = with_causes(error.as_ref());
                tracing::error!(number, ?pause, %error, "could not start a worker; it is tried again");
            }
        }
    }

    /// When a number may be started again that has failed, soon after it was started or not.
    fn pause(&mut self, number: usize, now: Duration, soon: bool) -> Duration {
        let last = self.pauses.get(&number).map(|(_, pause)| *pause);
        let pause = match last {
            Some(last) if soon => (last * 2).min(LONGEST_PAUSE),
            _ => SHORTEST_PAUSE,
        };
        self.pauses.insert(number, (now + pause, pause));
        pause
    }

    fn bury(&mut self, now: Duration) {
        let mut ended = Vec::new();
        let limit = self.recipe.drain;
        self.workers.retain(|number, worker| {
            let Some(how) = worker.process.has_ended() else {
                let late = worker
                    .drains
                    .is_some_and(|since| now.saturating_sub(since) > limit);
                if late && worker.process.kill() {
                    tracing::warn!(
                        number,
                        "a worker still ran after its time to drain; it is killed"
                    );
                }
                return true;
            };
            ended.push((*number, worker.since, worker.drains.is_some(), how));
            false
        });
        for (number, since, drained, how) in ended {
            if drained {
                self.pauses.remove(&number);
                continue;
            }
            let pause = self.pause(number, now, now.saturating_sub(since) < LONG);
            tracing::error!(number, ?pause, %how, "a worker ended by itself; it is started again");
        }
    }

    /// Has certificates made anew each day, and when whom to trust has changed.
    fn certify(&mut self, now: Duration) {
        let trusted = self.recipe.trusted();
        if now < self.certify_at && trusted == self.trusted {
            return;
        }
        self.trusted = trusted;
        self.certify_at = now + CERTIFIED_EVERY;
        for number in self.workers.keys() {
            if let Err(error) = self.recipe.files(*number) {
                let error = with_causes(error.as_ref());
                tracing::error!(number, %error, "could not renew a certificate; it is tried again");
                self.certify_at = now + CERTIFIED_AGAIN;
            }
        }
    }

    /// Drains all of them, and ends those that take longer.
    pub async fn stop(mut self) {
        for worker in self.workers.values_mut() {
            worker.process.drain();
        }
        let all = async {
            for worker in self.workers.values_mut() {
                worker.process.ended().await;
            }
        };
        if tokio::time::timeout(self.recipe.drain, all).await.is_err() {
            tracing::warn!("workers still run after the time for draining; ending them");
        }
    }
}
