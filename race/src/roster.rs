//! The workers as known at a moment.

use crate::Record;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use streamsync_core::{
    Amount, Class, Partition, Protocols, WorkerId,
    config::{Profile, RaceConfig},
};
use streamsync_registry::{Health, Heartbeat, Holdings, Standing, ranking};

/// How many workers are ranked for each partition: its owners, and as many that stand in for them.
const RANKED: usize = 2 * streamsync_registry::OWNERS;
/// The partitions whose ranking is kept.
const KEPT_RANKINGS: usize = 50_000;
/// What a worker of which no stake is known counts as having. Stakes count as multiples of it.
const LEAST_STAKE: Amount = Amount(10_000 * Amount::STRM.0);
/// From which suitability on a worker counts as one of a class.
const SUITS: f64 = 0.8;
/// The most stake that counts, so that nobody can buy all races.
const MOST_STAKE: Amount = Amount(1_000_000 * Amount::STRM.0);

/// What is known of one worker.
#[derive(Clone, Debug)]
pub struct Known {
    /// What it said last.
    pub heartbeat: Arc<Heartbeat>,
    /// Its state.
    pub health: Health,
    /// What the network thinks of it.
    pub standing: Standing,
    /// What this router itself has seen of it.
    pub record: Arc<Record>,
}

/// A worker in a roster.
#[derive(Clone, Debug)]
pub struct Member {
    /// What is known of it.
    pub known: Known,
    /// Who runs it.
    pub operator: WorkerId,
    /// stake^a · reputation^b / ask.
    pub(crate) merit: f64,
}

impl Member {
    /// Its name.
    pub fn id(&self) -> WorkerId {
        self.known.heartbeat.worker
    }

    /// The least that it wants for a query.
    pub(crate) fn ask(&self) -> Amount {
        self.known.heartbeat.ask
    }

    pub(crate) fn record(&self) -> &Record {
        &self.known.record
    }

    pub(crate) fn holdings(&self) -> &Holdings {
        &self.known.heartbeat.holdings
    }

    /// How well its profile suits a class.
    pub(crate) fn suits(&self, class: Class) -> f64 {
        match (class, self.known.heartbeat.profile) {
            (Class::Lookup, Profile::Speed)
            | (Class::Scan, Profile::Cache)
            | (Class::Archive, Profile::Archive) => 1.0,
            (Class::Lookup | Class::Archive, Profile::Cache) => 0.8,
            (Class::Scan, Profile::Archive) | (Class::Archive, Profile::Speed) => 0.3,
            (Class::Scan, Profile::Speed) | (Class::Lookup, Profile::Archive) => 0.2,
        }
    }
}

/// The workers that may be asked, as known at a moment. Immutable, so that a query sees one state.
#[derive(Debug)]
pub struct Roster {
    members: Vec<Arc<Member>>,
    places: HashMap<WorkerId, u32>,
    /// The places of each operator's healthy workers.
    operators: BTreeMap<WorkerId, Vec<u32>>,
    /// What the healthy workers want, cheapest first.
    asks: Vec<Amount>,
    /// The middle of the healthy workers' latencies for each class, in seconds.
    latency: [Option<f64>; Class::ALL.len()],
    owners: Arc<Owners>,
}

/// The owners of partitions among a certain set of workers.
#[derive(Debug, Default)]
struct Owners {
    among: Vec<(WorkerId, f64)>,
    rankings: Mutex<HashMap<Partition, Arc<[WorkerId]>>>,
}

impl Default for Roster {
    fn default() -> Self {
        Self::new(Vec::new(), &RaceConfig::default(), 0, None, None)
    }
}

impl Roster {
    /// A roster of the workers that may be asked at a time in milliseconds since 1970: not those
    /// that failed, not those that are excluded, and not those whose operator has less than the
    /// minimum at stake, if there is one. What was worked out for the roster before is used again if
    /// it still holds.
    ///
    /// Workers of one operator share what its stake weighs: running more of them is no way to more
    /// races.
    pub fn new(
        known: Vec<Known>,
        config: &RaceConfig,
        now_ms: u64,
        minimum_stake: Option<Amount>,
        before: Option<&Self>,
    ) -> Self {
        let enough = |one: &Known| {
            minimum_stake.is_none_or(|least| one.standing.stake.unwrap_or_default() >= least)
        };
        let eligible: Vec<Known> = known
            .into_iter()
            .filter(|one| one.health != Health::Failed && !one.standing.is_excluded(now_ms))
            .filter(enough)
            .filter(|one| Protocols::OWN.shared(one.heartbeat.protocols).is_some())
            .collect();
        let mut sharing: HashMap<WorkerId, u64> = HashMap::new();
        for known in &eligible {
            *sharing.entry(known.heartbeat.operator()).or_default() += 1;
        }
        let member = |known: Known| {
            let operator = known.heartbeat.operator();
            let sharing = sharing.get(&operator).copied().unwrap_or(1);
            Arc::new(Member {
                operator,
                merit: merit(&known, sharing, config),
                known,
            })
        };
        let mut members: Vec<Arc<Member>> = eligible.into_iter().map(member).collect();
        members.sort_by_key(|member| member.id());
        let healthy = || {
            let healthy = |member: &&Arc<Member>| member.known.health == Health::Healthy;
            members.iter().filter(healthy)
        };
        let mut operators: BTreeMap<_, Vec<u32>> = BTreeMap::new();
        for (place, member) in (0..).zip(&members) {
            if member.known.health == Health::Healthy {
                operators.entry(member.operator).or_default().push(place);
            }
        }
        let among: Vec<_> = healthy()
            .map(|member| (member.id(), member.known.heartbeat.weight()))
            .collect();
        let owners = match before {
            Some(before) if before.owners.among == among => Arc::clone(&before.owners),
            _ => Arc::new(Owners {
                among,
                rankings: Mutex::default(),
            }),
        };
        let latency = Class::ALL.map(|class| {
            let mut known: Vec<f64> = healthy()
                .filter_map(|member| member.record().latency(class))
                .map(|latency| latency.as_secs_f64())
                .collect();
            if known.is_empty() {
                return None;
            }
            let middle = known.len() / 2;
            Some(*known.select_nth_unstable_by(middle, f64::total_cmp).1)
        });
        let places = (0..)
            .zip(&members)
            .map(|(place, member)| (member.id(), place));
        let mut asks: Vec<Amount> = healthy().map(|member| member.ask()).collect();
        asks.sort_unstable();
        Self {
            places: places.collect(),
            operators,
            asks,
            latency,
            owners,
            members,
        }
    }

    /// The workers, sorted by id.
    pub fn members(&self) -> &[Arc<Member>] {
        &self.members
    }

    /// A worker by name.
    pub fn member(&self, worker: WorkerId) -> Option<&Arc<Member>> {
        self.place(worker)
            .map(|place| &self.members[place as usize])
    }

    /// How many different operators its healthy workers have.
    pub fn operators(&self) -> usize {
        self.operators.len()
    }

    /// The places of each operator's healthy workers, sorted by operator.
    pub(crate) fn by_operator(&self) -> &BTreeMap<WorkerId, Vec<u32>> {
        &self.operators
    }

    /// Which share of the places is taken at those healthy workers that suit a class; `None` if
    /// there are none.
    pub fn utilisation(&self, class: Class) -> Option<f64> {
        let (mut taken, mut places) = (0_u64, 0_u64);
        for member in &self.members {
            if member.known.health == Health::Healthy && member.suits(class) >= SUITS {
                let heartbeat = &member.known.heartbeat;
                let all = heartbeat.concurrency.max(1);
                taken += u64::from(heartbeat.running.saturating_add(heartbeat.waiting).min(all));
                places += u64::from(all);
            }
        }
        (places > 0).then(|| taken as f64 / places as f64)
    }

    /// What the so many cheapest healthy workers all take part for; what all of them do if there
    /// are fewer.
    pub fn ask(&self, workers: usize) -> Amount {
        let place = workers.min(self.asks.len()).saturating_sub(1);
        self.asks.get(place).copied().unwrap_or_default()
    }

    /// Whether so many workers say that they have all of the partitions at hand.
    pub fn have(&self, partitions: &[Partition], workers: usize) -> bool {
        let fingerprints: Vec<u32> = partitions.iter().map(Holdings::fingerprint).collect();
        let has_all = |member: &&Arc<Member>| {
            let held = member.holdings();
            fingerprints
                .iter()
                .all(|fingerprint| held.has_fingerprint(*fingerprint))
        };
        self.members.iter().filter(has_all).take(workers).count() >= workers
    }

    pub(crate) fn place(&self, worker: WorkerId) -> Option<u32> {
        self.places.get(&worker).copied()
    }

    /// The healthy workers that keep a partition, and those that would next, best first.
    pub(crate) fn ranked(&self, partition: &Partition) -> Arc<[WorkerId]> {
        let rankings = || {
            let rankings = &self.owners.rankings;
            rankings.lock().unwrap_or_else(PoisonError::into_inner)
        };
        if let Some(known) = rankings().get(partition) {
            return Arc::clone(known);
        }
        let among = self.owners.among.iter().copied();
        let ranked: Arc<[WorkerId]> = ranking(partition, among, RANKED).into();
        let mut kept = rankings();
        if kept.len() >= KEPT_RANKINGS {
            kept.clear();
        }
        kept.insert(partition.clone(), Arc::clone(&ranked));
        ranked
    }

    /// How fast a worker is beside the others, 0.1 to 10; 1 where nothing is known.
    pub(crate) fn speed(&self, member: &Member, class: Class) -> f64 {
        let own = member
            .record()
            .latency(class)
            .as_ref()
            .map(Duration::as_secs_f64);
        match (self.latency[class.index()], own) {
            (Some(middle), Some(own)) if own > 0.0 => (middle / own).clamp(0.1, 10.0),
            _ => 1.0,
        }
    }
}

fn merit(known: &Known, sharing: u64, config: &RaceConfig) -> f64 {
    let (stake, sharing) = match known.standing.stake {
        None => (LEAST_STAKE, 1),
        // Something is left to those without stake, where none is required.
        Some(stake) => (
            stake.clamp(Amount(LEAST_STAKE.0 / 100), MOST_STAKE),
            sharing,
        ),
    };
    let stake = stake.0 as f64 / LEAST_STAKE.0 as f64;
    let reputation = known.standing.reputation.score();
    let ask = known.heartbeat.ask.0.max(1) as f64;
    stake.powf(config.stake_exponent) / sharing as f64 * reputation.powf(config.reputation_exponent)
        / ask
}
