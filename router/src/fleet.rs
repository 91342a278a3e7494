//! The workers, as this router last heard of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use streamsync_core::{Amount, WorkerId, clock::SharedClock, config::RaceConfig};
use streamsync_race::{Known, Record, Roster};
use streamsync_registry::{Changes, Cursor, Health, Heartbeat, Standing};
use tokio::sync::watch;

/// A worker that was not heard of for so long is forgotten.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

/// The router's own copy of the registry, so that no query waits for Redis. While Redis is away
/// it keeps what it had: nobody can tell then who still beats.
#[derive(Clone)]
pub struct Fleet(Arc<Inner>);

struct Inner {
    config: RaceConfig,
    clock: SharedClock,
    heard: Mutex<Heard>,
    roster: watch::Sender<Arc<Roster>>,
}

#[derive(Default)]
struct Heard {
    workers: BTreeMap<WorkerId, Entry>,
    standings: BTreeMap<WorkerId, Standing>,
    cursor: Cursor,
    /// What a worker's operator must have at stake, once that was heard of.
    minimum_stake: Option<Amount>,
    /// Whether Redis answered the last time that it was asked.
    in_touch: bool,
}

struct Entry {
    heartbeat: Arc<Heartbeat>,
    /// When Redis received it, by this process's monotonic clock.
    received: Duration,
    record: Arc<Record>,
}

impl Fleet {
    /// A fleet that nothing is known of yet.
    pub fn new(config: RaceConfig, clock: SharedClock) -> Self {
        Self(Arc::new(Inner {
            config,
            clock,
            heard: Mutex::default(),
            roster: watch::Sender::default(),
        }))
    }

    fn heard_of(&self) -> MutexGuard<'_, Heard> {
        self.0.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From where to ask the registry for changes.
    pub fn cursor(&self) -> Cursor {
        self.heard_of().cursor
    }

    /// Takes what changed in the registry. Returns whether it had been away before.
    pub fn heard(&self, changes: Changes) -> bool {
        let now = self.0.clock.monotonic();
        let mut heard = self.heard_of();
        let was_away = !heard.in_touch;
        if was_away {
            // Workers have to find back to Redis as well: all of them get the time for that.
            for entry in heard.workers.values_mut() {
                entry.received = now;
            }
        }
        heard.in_touch = true;
        heard.cursor = changes.cursor;
        // A Redis that has lost it does not do away with it.
        heard.minimum_stake = changes.minimum_stake.or(heard.minimum_stake);
        for worker in changes.departed {
            heard.workers.remove(&worker);
        }
        for beat in changes.beats {
            let received = now.saturating_sub(beat.age);
            let heartbeat = Arc::new(beat.heartbeat);
            let entry = heard.workers.entry(heartbeat.worker);
            let entry = entry.or_insert_with(|| Entry {
                heartbeat: Arc::clone(&heartbeat),
                received,
                record: Arc::default(),
            });
            entry.heartbeat = heartbeat;
            entry.received = received;
        }
        for (worker, standing) in changes.standings {
            let known = heard.standings.entry(worker).or_default();
            // What this router has found out itself is not in Redis yet.
            let excluded_until_ms = known.excluded_until_ms.max(standing.excluded_until_ms);
            *known = Standing {
                excluded_until_ms,
                ..standing
            };
        }
        let forgotten = now.saturating_sub(FORGOTTEN_AFTER);
        heard.workers.retain(|_, entry| entry.received >= forgotten);
        self.renew(&heard);
        was_away
    }

    /// Notes that the registry did not answer. Returns whether it had before.
    pub fn lost(&self) -> bool {
        std::mem::replace(&mut self.heard_of().in_touch, false)
    }

    /// Whether the registry answered the last time.
    pub fn in_touch(&self) -> bool {
        self.heard_of().in_touch
    }

    /// Asks a worker no more until a time in milliseconds since 1970. Returns false if it was
    /// excluded already.
    pub fn exclude(&self, worker: WorkerId, until_ms: u64) -> bool {
        let now_ms = self.0.clock.unix_millis();
        let mut heard = self.heard_of();
        let standing = heard.standings.entry(worker).or_default();
        if standing.is_excluded(now_ms) {
            return false;
        }
        standing.excluded_until_ms = until_ms;
        standing.reputation.convict();
        self.renew(&heard);
        true
    }

    /// The workers that may be asked.
    pub fn roster(&self) -> Arc<Roster> {
        Arc::clone(&self.0.roster.borrow())
    }

    /// Waits until so many workers may be asked.
    pub(crate) async fn staffed(&self, needed: usize) -> Arc<Roster> {
        let mut renewed = self.0.roster.subscribe();
        let enough = |roster: &Arc<Roster>| roster.members().len() >= needed;
        let roster = renewed.wait_for(enough).await;
        let roster = roster.map(|roster| Arc::clone(&roster)).ok();
        match roster {
            Some(roster) => roster,
            // The sender is in `self`, so it is not gone.
            None => std::future::pending().await,
        }
    }

    /// All workers with the age of their last heartbeat, sorted by id.
    pub fn workers(&self) -> Vec<(Known, Duration)> {
        let now = self.0.clock.monotonic();
        self.known(&self.heard_of(), now)
    }

    /// What the network thinks of each worker, as far as this router knows.
    pub fn standings(&self) -> BTreeMap<WorkerId, Standing> {
        self.heard_of().standings.clone()
    }

    fn known(&self, heard: &Heard, now: Duration) -> Vec<(Known, Duration)> {
        let known = heard.workers.iter().map(|(worker, entry)| {
            let age = now.saturating_sub(entry.received);
            let known = Known {
                heartbeat: Arc::clone(&entry.heartbeat),
                health: Health::of(age, entry.heartbeat.interval()),
                standing: heard.standings.get(worker).copied().unwrap_or_default(),
                record: Arc::clone(&entry.record),
            };
            (known, age)
        });
        known.collect()
    }

    fn renew(&self, heard: &Heard) {
        let now = self.0.clock.monotonic();
        let known = self.known(heard, now).into_iter().map(|(known, _)| known);
        let before = self.roster();
        let now_ms = self.0.clock.unix_millis();
        let roster = Roster::new(
            known.collect(),
            &self.0.config,
            now_ms,
            heard.minimum_stake,
            Some(&before),
        );
        self.0.roster.send_replace(Arc::new(roster));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use streamsync_core::{Protocols, clock::ManualClock};
    use streamsync_registry::RegisteredWorker;

    fn beat(seed: u8) -> RegisteredWorker {
        let id = streamsync_core::Identity::from_seed([seed; 32]).id();
        let heartbeat = serde_json::json!({
            "worker": id, "endpoint": "http://127.0.0.1:1", "version": "0", "running": 0,
            "waiting": 0, "cached_bytes": 0, "interval_ms": 1_000, "sent_at_ms": 1,
        });
        RegisteredWorker {
            // The fields of the first version: what is newer has to be optional.
            heartbeat: serde_json::from_value(heartbeat).unwrap(),
            age: Duration::ZERO,
        }
    }

    fn changes(beats: &[u8], departed: &[u8]) -> Changes {
        Changes {
            beats: beats.iter().map(|seed| beat(*seed)).collect(),
            departed: departed
                .iter()
                .map(|seed| beat(*seed).heartbeat.worker)
                .collect(),
            ..Changes::default()
        }
    }

    fn fleet() -> (Fleet, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::at(1_000_000));
        (Fleet::new(RaceConfig::default(), clock.clone()), clock)
    }

    fn health(fleet: &Fleet) -> Vec<Health> {
        fleet
            .workers()
            .iter()
            .map(|(known, _)| known.health)
            .collect()
    }

    #[test]
    fn who_stops_beating_fails_and_is_forgotten() {
        let (fleet, clock) = fleet();
        fleet.heard(changes(&[1, 2], &[]));
        assert_eq!(fleet.roster().members().len(), 2);
        clock.advance(Duration::from_secs(5));
        fleet.heard(changes(&[2], &[]));
        assert_eq!(fleet.workers().len(), 2);
        assert_eq!(fleet.roster().members().len(), 1);
        clock.advance(Duration::from_secs(56));
        fleet.heard(changes(&[2], &[]));
        assert_eq!(fleet.workers().len(), 1);
        fleet.heard(changes(&[], &[2]));
        assert!(fleet.workers().is_empty());
    }

    #[test]
    fn nobody_ages_while_redis_is_away() {
        let (fleet, clock) = fleet();
        fleet.heard(changes(&[1, 2, 3], &[]));
        assert!(fleet.lost());
        clock.advance(Duration::from_secs(600));
        assert_eq!(fleet.roster().members().len(), 3);
        // Redis is back, empty, and one worker has found it so far.
        assert!(fleet.heard(changes(&[1], &[])));
        assert_eq!(health(&fleet), [Health::Healthy; 3]);
        clock.advance(Duration::from_secs(5));
        assert!(!fleet.heard(changes(&[1], &[])));
        assert_eq!(fleet.roster().members().len(), 1);
    }

    #[test]
    fn who_has_too_little_at_stake_is_not_asked_even_if_redis_forgets() {
        let (fleet, _) = fleet();
        fleet.heard(changes(&[1, 2, 3], &[]));
        assert_eq!(fleet.roster().members().len(), 3, "no chain is followed");
        let (enough, little) = (beat(1).heartbeat.worker, beat(2).heartbeat.worker);
        let staked = |stake| Standing {
            stake: Some(Amount(stake)),
            ..Standing::default()
        };
        fleet.heard(Changes {
            standings: vec![(enough, staked(500)), (little, staked(499))],
            minimum_stake: Some(Amount(500)),
            ..changes(&[], &[])
        });
        let asked = || {
            let members = fleet.roster();
            let members = members.members().iter();
            members.map(|member| member.id()).collect::<Vec<_>>()
        };
        assert_eq!(asked(), [enough]);
        fleet.heard(changes(&[1, 2, 3], &[]));
        assert_eq!(asked(), [enough]);
    }

    #[test]
    fn who_speaks_no_protocol_of_ours_is_not_asked() {
        let (fleet, _) = fleet();
        let mut stranger = beat(2);
        let newer = Protocols::OWN.newest + 1;
        stranger.heartbeat.protocols = Protocols {
            oldest: newer,
            newest: newer,
        };
        let mut both = beat(3);
        both.heartbeat.protocols = Protocols {
            oldest: 1,
            newest: newer,
        };
        fleet.heard(Changes {
            beats: vec![beat(1), stranger, both],
            ..Changes::default()
        });
        assert_eq!(fleet.workers().len(), 3, "it is known");
        assert_eq!(fleet.roster().members().len(), 2, "and not asked");
    }

    #[test]
    fn who_is_excluded_is_not_asked_whatever_redis_says() {
        let (fleet, clock) = fleet();
        fleet.heard(changes(&[1, 2], &[]));
        let liar = beat(1).heartbeat.worker;
        let until = 1_000_000 + 60_000;
        assert!(fleet.exclude(liar, until));
        assert!(!fleet.exclude(liar, until));
        let old = Changes {
            standings: vec![(liar, Standing::default())],
            ..changes(&[1, 2], &[])
        };
        fleet.heard(old);
        assert!(fleet.roster().member(liar).is_none());
        clock.advance(Duration::from_secs(60));
        fleet.heard(changes(&[1, 2], &[]));
        assert!(fleet.roster().member(liar).is_some());
    }
}
