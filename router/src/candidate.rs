//! Who may race for a query, and in which order they are asked.

use sha2::{Digest, Sha256};
use std::{cmp::Reverse, collections::HashMap};
use streamsync_core::{Partition, WorkerId};
use streamsync_registry::{Health, OWNERS, RegisteredWorker, owners};

/// How many of a query's partitions are looked at. A query that reads more of them is a scan,
/// and nobody has all that it needs.
const LOOKED_AT: usize = 8;

/// The workers that may answer a query, best first: those that own its partitions, so that the same
/// partitions go to the same workers and stay in their caches. Suspect workers come last; failed
/// ones not at all.
pub fn choose(
    workers: &[(RegisteredWorker, Health)],
    partitions: &[Partition],
) -> Vec<RegisteredWorker> {
    let healthy: Vec<(WorkerId, f64)> = workers
        .iter()
        .filter(|(_, health)| *health == Health::Healthy)
        .map(|(worker, _)| (worker.heartbeat.worker, worker.heartbeat.weight()))
        .collect();
    let mut points: HashMap<WorkerId, usize> = HashMap::new();
    for partition in partitions.iter().take(LOOKED_AT) {
        let owners = owners(partition, healthy.iter().copied());
        for (rank, owner) in owners.into_iter().enumerate() {
            *points.entry(owner).or_default() += OWNERS - rank;
        }
    }
    let mut key = Sha256::new();
    for partition in partitions {
        key.update(partition.to_string());
        key.update([0]);
    }
    let mut candidates: Vec<_> = workers
        .iter()
        .filter(|(_, health)| *health != Health::Failed)
        .map(|(worker, health)| {
            let id = worker.heartbeat.worker;
            let points = points.get(&id).copied().unwrap_or_default();
            // By these in this order: health, then points, then a draw that spreads the rest.
            ((*health, Reverse((points, weight(&key, id)))), worker)
        })
        .collect();
    candidates.sort_by_key(|one| one.0);
    candidates
        .into_iter()
        .map(|(_, worker)| worker.clone())
        .collect()
}

fn weight(key: &Sha256, worker: WorkerId) -> [u8; 32] {
    key.clone()
        .chain_update(worker.as_bytes())
        .finalize()
        .into()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Duration;
    use streamsync_registry::Heartbeat;

    fn worker(seed: u8, health: Health) -> (RegisteredWorker, Health) {
        let heartbeat = Heartbeat {
            worker: WorkerId::new([seed; 32]),
            endpoint: "http://127.0.0.1:1".parse().unwrap(),
            version: String::new(),
            running: 0,
            waiting: 0,
            cached_bytes: 0,
            memory_bytes: 0,
            disk_bytes: 0,
            profile: Default::default(),
            interval_ms: 1_000,
            sent_at_ms: 0,
        };
        (
            RegisteredWorker {
                heartbeat,
                age: Duration::ZERO,
            },
            health,
        )
    }

    fn partition(date: &str) -> Vec<Partition> {
        let values = [("date".to_owned(), Some(date.to_owned()))].into();
        vec![Partition {
            table: "blocks".parse().unwrap(),
            values,
        }]
    }

    fn ids(workers: &[(RegisteredWorker, Health)], date: &str) -> Vec<WorkerId> {
        let chosen = choose(workers, &partition(date));
        chosen
            .iter()
            .map(|worker| worker.heartbeat.worker)
            .collect()
    }

    #[test]
    fn suspects_are_last_and_failed_ones_never() {
        let workers: Vec<_> = (0..9)
            .map(|seed| {
                let health = [Health::Healthy, Health::Suspect, Health::Failed];
                worker(seed, health[usize::from(seed) % 3])
            })
            .collect();
        let chosen = ids(&workers, "2024-03-14");
        assert_eq!(chosen.len(), 6);
        assert!(chosen[..3].iter().all(|id| id.as_bytes()[0] % 3 == 0));
        assert!(chosen[3..].iter().all(|id| id.as_bytes()[0] % 3 == 1));
    }

    #[test]
    fn partitions_spread_over_workers_and_stay_when_others_leave() {
        let mut workers: Vec<_> = (0..20).map(|seed| worker(seed, Health::Healthy)).collect();
        let firsts: Vec<_> = (0..200)
            .map(|day| ids(&workers, &day.to_string())[0])
            .collect();
        let distinct: std::collections::BTreeSet<_> = firsts.iter().collect();
        assert!(
            distinct.len() > 15,
            "{} of 20 workers own anything",
            distinct.len()
        );
        let gone = workers.pop().unwrap().0.heartbeat.worker;
        for (day, first) in firsts.iter().enumerate() {
            let now = ids(&workers, &day.to_string())[0];
            assert!(now == *first || *first == gone);
        }
    }
}
