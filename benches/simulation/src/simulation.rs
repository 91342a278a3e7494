//! One network under one load, event by event.

use crate::{
    event::Agenda,
    service::ServiceTimes,
    settings::{Scenario, Settings},
};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    sync::Arc,
    time::Duration,
};
use streamsync_core::{
    Amount, Class, Identity, Partition, QueryId, WorkerId,
    clock::ManualClock,
    config::{Profile, RaceConfig},
};
use streamsync_race::{
    Asked, Failure, Known, Member, Race, RecentLatency, Record, Roster, Rules, State, choose,
    seeded,
};
use streamsync_registry::{Health, Heartbeat, Holdings, Observed, Standing};

/// A worker takes no more than this before it.
const QUEUE: usize = 64;
/// How long a query may take.
const DEADLINE: Duration = Duration::from_secs(1);
/// How often routers look at the registry, and workers beat.
const TICK: Duration = Duration::from_millis(500);
/// The first share of queries only warms up: nothing is known of the workers then.
const WARM_UP: f64 = 0.2;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// Queries a second that were asked.
    pub offered: f64,
    /// The share of them that had an answer.
    pub answered: f64,
    /// Quantiles of the time from asking to a quorum.
    pub p50: Duration,
    /// 99 in 100.
    pub p99: Duration,
    /// Executions begun for each query.
    pub asked: f64,
    /// How busy the workers' cores were.
    pub utilisation: f64,
}

enum Event {
    Arrival,
    /// A request reaches a worker.
    Request {
        query: u64,
        worker: usize,
    },
    /// A core is done.
    Done {
        query: u64,
        worker: usize,
    },
    /// An answer, or a failure, reaches the router.
    Answer {
        query: u64,
        worker: usize,
        failed: Option<Failure>,
    },
    /// A router hangs up on a worker.
    HangUp {
        query: u64,
        worker: usize,
    },
    Hedge {
        query: u64,
    },
    Deadline {
        query: u64,
    },
    Tick,
}

struct Worker {
    id: WorkerId,
    heartbeat: Heartbeat,
    record: Arc<Record>,
    standing: Standing,
    /// Queries that run, and those that wait.
    running: HashSet<u64>,
    waiting: VecDeque<u64>,
    slow: bool,
    dies: bool,
    dead: bool,
    last_beat: Duration,
    busy: Duration,
    recent: VecDeque<Partition>,
}

struct Query {
    race: Race<u8>,
    began: Duration,
    partition: Partition,
}

struct Network<'a> {
    settings: &'a Settings,
    scenario: &'a Scenario,
    config: RaceConfig,
    service: ServiceTimes,
    random: ChaCha8Rng,
    agenda: Agenda<Event>,
    workers: Vec<Worker>,
    places: HashMap<WorkerId, usize>,
    roster: Roster,
    latency: RecentLatency,
    observed: BTreeMap<WorkerId, Observed>,
    queries: HashMap<u64, Query>,
    asked: u64,
    arrived: u64,
    took: Vec<Duration>,
    failed: u64,
    popularity: Vec<f64>,
    /// How many queries are asked.
    total: u64,
}

/// Simulates one network.
pub fn simulate(settings: &Settings, scenario: &Scenario) -> Outcome {
    let mut network = Network::new(settings, scenario);
    network.run();
    network.outcome()
}

impl<'a> Network<'a> {
    #[allow(clippy::expect_used)]
    fn new(settings: &'a Settings, scenario: &'a Scenario) -> Self {
        let mut random = ChaCha8Rng::seed_from_u64(settings.seed);
        let endpoint: url::Url = "http://worker.invalid"
            .parse()
            .expect("a constant URL is valid");
        let workers: Vec<Worker> = (0..scenario.workers)
            .map(|number| {
                let id = Identity::from_seed(random.random()).id();
                let share = number as f64 / scenario.workers as f64;
                Worker {
                    id,
                    heartbeat: Heartbeat {
                        worker: id,
                        endpoint: endpoint.clone(),
                        version: String::new(),
                        protocols: Default::default(),
                        running: 0,
                        waiting: 0,
                        concurrency: settings.cores,
                        cached_bytes: 0,
                        memory_bytes: 64 << 30,
                        disk_bytes: 0,
                        profile: Profile::Speed,
                        grant: None,
                        ask: Amount(1_000),
                        versions: Default::default(),
                        holdings: Holdings::default(),
                        interval_ms: 1_000,
                        sent_at_ms: 0,
                    },
                    record: Arc::default(),
                    standing: Standing::default(),
                    running: HashSet::new(),
                    waiting: VecDeque::new(),
                    slow: share < scenario.slow,
                    dies: share >= 1.0 - scenario.dying,
                    dead: false,
                    last_beat: Duration::ZERO,
                    busy: Duration::ZERO,
                    recent: VecDeque::new(),
                }
            })
            .collect();
        let service =
            ServiceTimes::load(settings.service.as_deref()).expect("read the service times");
        let mut sum = 0.0;
        let popularity = (1..=settings.partitions)
            .map(|rank| {
                sum += (rank as f64).powf(-settings.skew);
                sum
            })
            .collect();
        let config = RaceConfig {
            racers: scenario.racers,
            confirmations: scenario.needed - 1,
            ..RaceConfig::default()
        };
        let places = workers
            .iter()
            .enumerate()
            .map(|(place, worker)| (worker.id, place));
        let mut network = Self {
            places: places.collect(),
            settings,
            scenario,
            config,
            service,
            random,
            agenda: Agenda::default(),
            workers,
            roster: Roster::default(),
            latency: RecentLatency::default(),
            observed: BTreeMap::new(),
            queries: HashMap::new(),
            asked: 0,
            arrived: 0,
            took: Vec::new(),
            failed: 0,
            popularity,
            total: ((scenario.rate * settings.seconds) as u64).clamp(1, settings.queries),
        };
        network.renew(Duration::ZERO);
        network.agenda.add(Duration::ZERO, Event::Arrival);
        network.agenda.add(TICK, Event::Tick);
        network
    }

    fn run(&mut self) {
        while let Some((now, event)) = self.agenda.next() {
            match event {
                Event::Arrival => self.arrive(now),
                Event::Request { query, worker } => self.request(query, worker, now),
                Event::Done { query, worker } => self.done(query, worker, now),
                Event::Answer {
                    query,
                    worker,
                    failed,
                } => self.answer(query, worker, failed, now),
                Event::HangUp { query, worker } => self.hang_up(query, worker),
                Event::Hedge { query } => self.hedge(query, now),
                Event::Deadline { query } => self.deadline(query, now),
                Event::Tick => self.tick(now),
            }
        }
    }

    fn message(&mut self) -> Duration {
        // Log-normal by Box and Muller.
        let (one, other): (f64, f64) = (self.random.random(), self.random.random());
        let normal = (-2.0 * (1.0 - one).ln()).sqrt() * (std::f64::consts::TAU * other).cos();
        let micros = self.settings.network_us * (0.3 * normal).exp();
        Duration::from_nanos((micros * 1_000.0) as u64)
    }

    fn arrive(&mut self, now: Duration) {
        let number = self.arrived;
        self.arrived += 1;
        if self.arrived < self.total {
            let gap = -(1.0 - self.random.random::<f64>()).ln() / self.scenario.rate;
            self.agenda
                .add(now + Duration::from_secs_f64(gap), Event::Arrival);
        }
        let total = self.popularity.last().copied().unwrap_or(1.0);
        let drawn = self.random.random::<f64>() * total;
        let rank = self.popularity.partition_point(|sum| *sum < drawn);
        let partition = partition(rank);
        let mut random_bytes = [0; 10];
        random_bytes[..8].copy_from_slice(&number.to_be_bytes());
        random_bytes[8..].copy_from_slice(&(self.settings.seed as u16).to_be_bytes());
        let id = QueryId::new(&ManualClock::at(1), random_bytes);
        let asked = Asked {
            partitions: std::slice::from_ref(&partition),
            class: Class::Lookup,
            needed: self.scenario.needed,
            pays: Amount(u64::MAX),
        };
        let choice = choose(&self.roster, asked, &self.config, now, &mut seeded(&id));
        let rules = Rules {
            class: Class::Lookup,
            policy: self.scenario.policy,
            needed: self.scenario.needed,
            racers: self.scenario.racers,
            most_asked: self.config.most_asked,
            hedge_after: self.latency.p95(Class::Lookup),
        };
        let (race, members) = Race::start(rules, choice, now);
        let query = Query {
            race,
            began: now,
            partition,
        };
        self.queries.insert(number, query);
        self.ask(number, &members, now);
        self.agenda
            .add(now + DEADLINE, Event::Deadline { query: number });
        self.plan_hedge(number);
        self.settle(number, now);
    }

    fn ask(&mut self, query: u64, members: &[Arc<Member>], now: Duration) {
        self.asked += members.len() as u64;
        for member in members {
            let worker = self.places[&member.id()];
            let at = now + self.message();
            self.agenda.add(at, Event::Request { query, worker });
        }
    }

    fn plan_hedge(&mut self, query: u64) {
        let hedge = self
            .queries
            .get(&query)
            .and_then(|query| query.race.hedge_at());
        if let Some(at) = hedge {
            self.agenda.add(at, Event::Hedge { query });
        }
    }

    fn hedge(&mut self, number: u64, now: Duration) {
        let Some(query) = self.queries.get_mut(&number) else {
            return;
        };
        // A failure may have opened the race in the meantime, and the time be a later one.
        if query.race.hedge_at().is_none_or(|at| at > now) {
            return;
        }
        let members = query.race.hedge(now);
        self.ask(number, &members, now);
        self.plan_hedge(number);
    }

    fn request(&mut self, query: u64, place: usize, now: Duration) {
        let worker = &mut self.workers[place];
        if worker.dead {
            // The connection is refused.
            return self.reply(query, place, Some(Failure::Broken), now);
        }
        if worker.running.len() < self.settings.cores as usize {
            self.execute(query, place, now);
        } else if worker.waiting.len() < QUEUE {
            worker.waiting.push_back(query);
        } else {
            self.reply(query, place, Some(Failure::Busy), now);
        }
    }

    fn execute(&mut self, query: u64, place: usize, now: Duration) {
        let mut service = self.service.draw(&mut self.random);
        let worker = &mut self.workers[place];
        if worker.slow {
            service *= 50;
        }
        worker.busy += service;
        worker.running.insert(query);
        self.agenda.add(
            now + service,
            Event::Done {
                query,
                worker: place,
            },
        );
    }

    fn done(&mut self, query: u64, place: usize, now: Duration) {
        let failing = self.random.random::<f64>() < self.scenario.failing;
        let partition = self
            .queries
            .get(&query)
            .map(|query| query.partition.clone());
        let worker = &mut self.workers[place];
        worker.running.remove(&query);
        if let Some(partition) = partition
            && !worker.recent.contains(&partition)
        {
            worker.recent.push_front(partition);
            worker.recent.truncate(Holdings::MOST);
        }
        let failed = failing.then_some(Failure::Broken);
        self.reply(query, place, failed, now);
        while let Some(next) = self.workers[place].waiting.pop_front() {
            if self.queries.contains_key(&next) {
                self.execute(next, place, now);
                break;
            }
        }
    }

    fn reply(&mut self, query: u64, worker: usize, failed: Option<Failure>, now: Duration) {
        let at = now + self.message();
        self.agenda.add(
            at,
            Event::Answer {
                query,
                worker,
                failed,
            },
        );
    }

    fn answer(&mut self, number: u64, place: usize, failed: Option<Failure>, now: Duration) {
        let jitter = self.random.random();
        let id = self.workers[place].id;
        let Some(query) = self.queries.get_mut(&number) else {
            return;
        };
        let members = match failed {
            Some(failure) => query.race.failed(id, failure, now, jitter),
            None => query.race.answered(id, 0, now),
        };
        self.ask(number, &members, now);
        self.settle(number, now);
    }

    /// Ends the race if it is decided or lost.
    fn settle(&mut self, number: u64, now: Duration) {
        let Some(query) = self.queries.get(&number) else {
            return;
        };
        match query.race.state() {
            State::Running => {}
            State::Lost => self.end(number, false, now),
            State::Decided(_) => self.end(number, true, now),
        }
    }

    fn deadline(&mut self, number: u64, now: Duration) {
        if self.queries.contains_key(&number) {
            self.end(number, false, now);
        }
    }

    fn end(&mut self, number: u64, answered: bool, now: Duration) {
        let jitter = self.random.random();
        let Some(mut query) = self.queries.remove(&number) else {
            return;
        };
        let decided = answered.then_some(&0);
        for (worker, seen) in query.race.close(decided, !answered, now, jitter) {
            *self.observed.entry(worker).or_default() += seen;
            if seen.answered + seen.failed == 0 {
                let place = self.places[&worker];
                let at = now + self.message();
                self.agenda.add(
                    at,
                    Event::HangUp {
                        query: number,
                        worker: place,
                    },
                );
            }
        }
        let took = now - query.began;
        if answered {
            self.latency.note(Class::Lookup, took);
        }
        if number as f64 >= WARM_UP * self.total as f64 {
            if answered {
                self.took.push(took);
            } else {
                self.failed += 1;
            }
        }
    }

    /// What waits is not begun any more. What runs is run to its end: a lookup is over before it
    /// could be stopped.
    fn hang_up(&mut self, query: u64, place: usize) {
        self.workers[place].waiting.retain(|other| *other != query);
    }

    fn tick(&mut self, now: Duration) {
        let half = self.arrived * 2 > self.total;
        for worker in &mut self.workers {
            worker.dead |= half && worker.dies;
            if worker.dead {
                continue;
            }
            worker.last_beat = now;
            worker.heartbeat.waiting = worker.waiting.len() as u32;
            worker.heartbeat.running = worker.running.len() as u32;
            worker.heartbeat.holdings = worker.recent.iter().collect();
        }
        let half_life = Duration::from_secs(self.config.reputation_half_life_s);
        for (id, seen) in std::mem::take(&mut self.observed) {
            let reputation = &mut self.workers[self.places[&id]].standing.reputation;
            reputation.fade(TICK, half_life);
            reputation.add(&seen);
        }
        self.renew(now);
        if self.arrived < self.total || !self.queries.is_empty() {
            self.agenda.add(now + TICK, Event::Tick);
        }
    }

    fn renew(&mut self, now: Duration) {
        let known = self.workers.iter().map(|worker| Known {
            heartbeat: Arc::new(worker.heartbeat.clone()),
            health: Health::of(now - worker.last_beat, Duration::from_secs(1)),
            standing: worker.standing,
            record: Arc::clone(&worker.record),
        });
        let known = known.collect();
        self.roster = Roster::new(known, &self.config, 0, None, Some(&self.roster));
    }

    fn outcome(&mut self) -> Outcome {
        self.took.sort_unstable();
        let at = |share: f64| {
            let place = (self.took.len() as f64 * share) as usize;
            self.took.get(place).copied().unwrap_or(DEADLINE)
        };
        let simulated = self.total as f64 / self.scenario.rate;
        let cores = self.workers.len() as f64 * f64::from(self.settings.cores);
        let busy: f64 = self
            .workers
            .iter()
            .map(|worker| worker.busy.as_secs_f64())
            .sum();
        let measured = (self.took.len() as u64 + self.failed).max(1);
        Outcome {
            offered: self.scenario.rate,
            answered: self.took.len() as f64 / measured as f64,
            p50: at(0.5),
            p99: at(0.99),
            asked: self.asked as f64 / self.arrived as f64,
            utilisation: busy / simulated / cores,
        }
    }
}

fn partition(rank: usize) -> Partition {
    #[allow(clippy::expect_used)]
    let table = "signatures".parse().expect("a constant name is valid");
    Partition {
        table,
        values: [("bucket".to_owned(), Some(rank.to_string()))].into(),
    }
}
