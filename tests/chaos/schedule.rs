//! What goes wrong when, drawn from a seed.

use rand::{Rng, SeedableRng, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use std::{collections::BTreeMap, fmt, ops::Range, time::Duration};

/// What an event happens to.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Target {
    Worker(usize),
    Router(usize),
    Compactor(usize),
    Ingest,
    Redis,
    /// What Redis holds, and with it the clients' keys and credit.
    Registry,
    Bucket,
}

/// What happens to it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// SIGKILL, and after a while another start; ingest is killed after a while of work.
    Kill,
    /// SIGSTOP, and after a while SIGCONT.
    Stall,
    /// SIGTERM, the end awaited, and after a while another start.
    Drain,
    /// Redis comes back, but has forgotten everything.
    Wipe,
    /// Requests to the bucket fail for a while.
    Fail(BucketFault),
}

/// How requests to the bucket fail.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum BucketFault {
    Slow,
    InternalError,
    SlowDown,
    Reset,
    Truncated,
    LostAnswer,
    ErrorAfterwards,
    StaleList,
}

impl BucketFault {
    const ALL: [Self; 8] = [
        Self::Slow,
        Self::InternalError,
        Self::SlowDown,
        Self::Reset,
        Self::Truncated,
        Self::LostAnswer,
        Self::ErrorAfterwards,
        Self::StaleList,
    ];
}

/// One event.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    /// After how much of the storm.
    pub at: Duration,
    pub target: Target,
    pub action: Action,
    /// How long until it is mended.
    pub lasts: Duration,
}

/// How many of each there are.
#[derive(Clone, Copy, Debug)]
pub struct Crew {
    pub workers: usize,
    pub routers: usize,
    pub compactors: usize,
    /// Whether the bucket can be made to fail.
    pub bucket: bool,
}

/// Until the next event, in milliseconds.
const GAP: Range<u64> = 200..1_300;
/// Until the same thing can be struck again, in milliseconds.
const RESPITE: u64 = 500;

/// All events of a storm: the same for the same seed, length and crew.
pub fn draw(seed: u64, length: Duration, crew: Crew) -> Vec<Event> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let length = length.as_millis() as u64;
    let mut events = Vec::new();
    let mut taken: BTreeMap<Target, u64> = BTreeMap::new();
    let mut at = 0;
    loop {
        at += random.random_range(GAP);
        if at >= length {
            return events;
        }
        let target = target(&mut random, crew);
        let (action, lasts) = action(&mut random, target);
        if taken.get(&target).is_some_and(|until| *until > at) {
            continue;
        }
        taken.insert(target, at + lasts + RESPITE);
        events.push(Event {
            at: Duration::from_millis(at),
            target,
            action,
            lasts: Duration::from_millis(lasts),
        });
    }
}

fn target(random: &mut ChaCha8Rng, crew: Crew) -> Target {
    match random.random_range(0..100) {
        0..34 => Target::Worker(random.random_range(0..crew.workers)),
        34..58 => Target::Router(random.random_range(0..crew.routers)),
        58..68 => Target::Compactor(random.random_range(0..crew.compactors)),
        68..82 => Target::Ingest,
        82..92 => Target::Redis,
        _ if crew.bucket => Target::Bucket,
        _ => Target::Redis,
    }
}

/// What happens, and for how many milliseconds.
fn action(random: &mut ChaCha8Rng, target: Target) -> (Action, u64) {
    match target {
        Target::Bucket => {
            let fault = *BucketFault::ALL.choose(random).unwrap();
            (Action::Fail(fault), random.random_range(500..3_000))
        }
        Target::Redis | Target::Registry => match random.random_range(0..10) {
            0..4 => (Action::Stall, random.random_range(200..3_000)),
            4..8 => (Action::Kill, random.random_range(300..4_000)),
            _ => (Action::Wipe, random.random_range(0..1_000)),
        },
        Target::Ingest => match random.random_range(0..10) {
            0..6 => (Action::Kill, random.random_range(50..1_500)),
            6..9 => (Action::Stall, random.random_range(100..2_500)),
            _ => (Action::Drain, random.random_range(50..1_000)),
        },
        Target::Worker(_) | Target::Router(_) | Target::Compactor(_) => {
            match random.random_range(0..10) {
                0..4 => (Action::Kill, random.random_range(0..2_000)),
                4..8 => (Action::Stall, random.random_range(100..3_000)),
                _ => (Action::Drain, random.random_range(0..1_000)),
            }
        }
    }
}

/// A time as people read it.
pub fn seconds(time: Duration) -> String {
    format!("{:8.3} s", time.as_secs_f64())
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker(place) => write!(formatter, "worker-{place}"),
            Self::Router(place) => write!(formatter, "router-{place}"),
            Self::Compactor(place) => write!(formatter, "compactor-{place}"),
            Self::Ingest => formatter.write_str("ingest"),
            Self::Redis => formatter.write_str("redis"),
            Self::Registry => formatter.write_str("registry"),
            Self::Bucket => formatter.write_str("bucket"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kill => formatter.write_str("kill"),
            Self::Stall => formatter.write_str("stall"),
            Self::Drain => formatter.write_str("drain"),
            Self::Wipe => formatter.write_str("wipe"),
            Self::Fail(fault) => write!(formatter, "fail with {fault:?}"),
        }
    }
}

impl Event {
    /// What it is counted as: not which of its kind it strikes.
    pub fn kind(&self) -> String {
        let target = self.target.to_string();
        let target = target.split('-').next().unwrap_or_default();
        format!("{target} {}", self.action)
    }
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, lasts) = (seconds(self.at), self.lasts.as_millis());
        write!(
            formatter,
            "{at}  {} {} for {lasts} ms",
            self.action, self.target
        )
    }
}
