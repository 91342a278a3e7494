//! Which workers keep which partitions.

use sha2::{Digest, Sha256};
use streamsync_core::{Partition, WorkerId};

/// How many workers keep each partition.
pub const OWNERS: usize = 5;

/// The workers that keep a partition: at most [`OWNERS`] of those given, see [`ranking`].
///
/// ```
/// use streamsync_core::{Partition, WorkerId};
/// use streamsync_registry::owners;
///
/// let partition = Partition {
///     table: "signatures".parse().unwrap(),
///     values: [("bucket".to_owned(), Some("7".to_owned()))].into(),
/// };
/// let workers = (0..20).map(|seed| (WorkerId::new([seed; 32]), 1.0));
/// assert_eq!(owners(&partition, workers).len(), 5);
/// ```
pub fn owners(
    partition: &Partition,
    workers: impl IntoIterator<Item = (WorkerId, f64)>,
) -> Vec<WorkerId> {
    ranking(partition, workers, OWNERS)
}

/// The workers in the order in which they would keep a partition: at most `count` of those given,
/// each with its weight, which is above zero.
///
/// Weighted rendezvous hashing: each worker draws a number from its id and the partition, and the
/// greatest win. With the draw `-weight / ln(u)`, `u` even in (0, 1), a worker wins in proportion
/// to its weight (Schindelhauer and Schomaker, "Weighted Distributed Hash Tables", SPAA 2005). A
/// worker that joins or leaves moves only the partitions that it wins or had won. Routers and
/// workers come to the same result without speaking to each other.
pub fn ranking(
    partition: &Partition,
    workers: impl IntoIterator<Item = (WorkerId, f64)>,
    count: usize,
) -> Vec<WorkerId> {
    let key = mix(first_bytes(&Sha256::digest(partition.to_string())));
    let mut drawn: Vec<(f64, WorkerId)> = workers
        .into_iter()
        .map(|(worker, weight)| (-weight / even(key, worker).ln(), worker))
        .collect();
    let order = |one: &(f64, WorkerId), other: &(f64, WorkerId)| {
        other.0.total_cmp(&one.0).then(one.1.cmp(&other.1))
    };
    if drawn.len() > count {
        if count > 0 {
            drawn.select_nth_unstable_by(count - 1, order);
        }
        drawn.truncate(count);
    }
    drawn.sort_by(order);
    drawn.into_iter().map(|(_, worker)| worker).collect()
}

/// A number between 0 and 1, neither included, from 52 bits of a hash.
fn even(key: u64, worker: WorkerId) -> f64 {
    let bits = mix(key ^ first_bytes(worker.as_bytes())) >> 12;
    (bits as f64 + 0.5) / (1_u64 << 52) as f64
}

fn first_bytes(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The finalizer of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number
/// Generators", OOPSLA 2014). Public keys are as good as random already, so nothing stronger is
/// needed; and whoever wants a certain partition could search for a key under any hash.
fn mix(number: u64) -> u64 {
    let number = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn partitions() -> impl Iterator<Item = Partition> {
        (0..400).map(|day| Partition {
            table: "blocks".parse().unwrap(),
            values: [("date".to_owned(), Some(day.to_string()))].into(),
        })
    }

    fn worker(seed: u8) -> WorkerId {
        WorkerId::new(Sha256::digest([seed]).into())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn only_what_a_leaving_worker_kept_moves(count in 6u8..40, gone in 0u8..40) {
            let gone = worker(gone % count);
            let before = (0..count).map(|seed| (worker(seed), 1.0));
            let after = before.clone().filter(|(id, _)| *id != gone);
            for partition in partitions() {
                let kept = owners(&partition, before.clone());
                let keeps = owners(&partition, after.clone());
                let stayed: Vec<_> = kept.iter().filter(|id| **id != gone).collect();
                prop_assert!(stayed.iter().zip(&keeps).all(|(one, other)| *one == other));
                prop_assert_eq!(keeps.len(), OWNERS);
            }
        }
    }

    #[test]
    fn workers_keep_in_proportion_to_their_weight() {
        let light: Vec<_> = (0..10).map(worker).collect();
        let workers = || (0..20).map(|seed| (worker(seed), if seed < 10 { 1.0 } else { 2.0 }));
        let firsts: Vec<_> = partitions().map(|one| owners(&one, workers())[0]).collect();
        let light = firsts.iter().filter(|id| light.contains(id)).count();
        // A third is expected: 133 of 400, with a standard deviation of 9.4.
        assert!((90..180).contains(&light), "{light}");
    }

    /// Workers and routers of different versions have to agree, so this never changes.
    #[test]
    fn owners_are_the_same_in_every_version() {
        let workers = (0..10).map(|seed| (worker(seed), f64::from(seed + 1)));
        let seeds: Vec<u8> = owners(&partitions().next().unwrap(), workers)
            .into_iter()
            .map(|id| (0..10).find(|seed| worker(*seed) == id).unwrap())
            .collect();
        assert_eq!(seeds, [9, 8, 7, 1, 4]);
    }
}
