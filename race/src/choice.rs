//! Who runs for a query.

use crate::{Circuit, Member, Roster};
use rand::{
    Rng, SeedableRng,
    seq::{IndexedRandom, SliceRandom},
};
use rand_chacha::ChaCha8Rng;
use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};
use streamsync_core::{Amount, Class, Partition, QueryId, WorkerId, config::RaceConfig};
use streamsync_registry::{Health, Holdings, OWNERS};

/// How many of a query's partitions are looked at. A query that reads more of them is a scan, and
/// nobody has all that it needs.
const LOOKED_AT: usize = 8;
/// How many workers that own none of the partitions are considered as well.
const OTHERS: usize = 16;
/// How likely a worker is to have a partition that it says it has, that it should have as an owner,
/// and that it has no reason to have. They only have to tell these apart.
const HAS: f64 = 1.0;
const SHOULD_HAVE: f64 = 0.5;
const MAY_HAVE: f64 = 0.01;
/// What is left of the weight of a worker that said lately that it is busy.
const BUSY: f64 = 0.1;

/// What decides who may run.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The partitions that the query reads.
    pub partitions: &'a [Partition],
    /// What kind of work it is.
    pub class: Class,
    /// How many workers have to agree.
    pub needed: usize,
    /// What the winner gets. Workers that want more are not asked.
    pub pays: Amount,
}

/// Who runs for a query.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// Those who run, best first.
    pub racers: Vec<Arc<Member>>,
    /// Those who take the place of racers that fail, best first.
    pub reserves: Vec<Arc<Member>>,
}

/// The random numbers for a query's choice. They come from its id, so that any router that knows
/// the same of the workers makes the same choice, and anyone can check it later.
pub fn seeded(query: &QueryId) -> ChaCha8Rng {
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(query.as_bytes());
    ChaCha8Rng::from_seed(seed)
}

/// A worker that may be chosen, with how likely.
struct Candidate<'a> {
    member: &'a Arc<Member>,
    /// How likely it is to have each of the partitions at hand, summed.
    heat: f64,
}

/// Chooses the racers for a query.
///
/// Considered are the owners of its partitions, those who would own them next, and some others
/// (all, in a small network), of as many operators as a quorum needs. Each has the weight merit · speed · heat · suitability / load, where
/// merit is stake^a · reputation^b / ask, divided by the number of workers that share the stake. They are drawn by weight without replacement (Efraimidis
/// and Spirakis, "Weighted random sampling with a reservoir", IPL 2006): the draw `-ln(u) / weight`,
/// smallest first. With the probability `exploration` a racer's place goes to anyone instead.
///
/// Suspect workers are reserves, behind all healthy ones, and those whose circuit is open are the
/// last. No two racers have the same operator, as long as there are enough operators for a quorum.
pub fn choose(
    roster: &Roster,
    asked: Asked<'_>,
    config: &RaceConfig,
    now: Duration,
    random: &mut impl Rng,
) -> Choice {
    let mut drawn: Vec<(Hope, f64, &Arc<Member>)> = candidates(roster, asked, now, random)
        .into_iter()
        .map(|one| {
            let weight = weight(roster, &one, asked.class, now);
            let draw = -even(random).ln() / weight;
            (hope(one.member, now), draw, one.member)
        })
        .collect();
    drawn.sort_by(|one, other| {
        let order = one.0.cmp(&other.0).then(one.1.total_cmp(&other.1));
        order.then(one.2.id().cmp(&other.2.id()))
    });
    let mut order: Vec<&Arc<Member>> = drawn.into_iter().map(|(_, _, member)| member).collect();
    explore(roster, &mut order, asked, config, now, random);

    let mut operators: Vec<WorkerId> = Vec::new();
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for member in order {
        if operators.contains(&member.operator) {
            again.push(Arc::clone(member));
        } else {
            operators.push(member.operator);
            first.push(Arc::clone(member));
        }
    }
    // With too few operators for a quorum, several workers of one are better than no answer.
    let mut racers = first;
    let alone = racers.len();
    racers.append(&mut again);
    let healthy = |member: &&Arc<Member>| hope(member, now) == Hope::Good;
    let able = racers.iter().take(alone).filter(healthy).count();
    let running = if able >= asked.needed {
        config.racers.min(able)
    } else {
        config.racers
    };
    let reserves = racers.split_off(running.min(racers.len()));
    Choice { racers, reserves }
}

fn candidates<'a>(
    roster: &'a Roster,
    asked: Asked<'_>,
    now: Duration,
    random: &mut impl Rng,
) -> Vec<Candidate<'a>> {
    let looked_at = &asked.partitions[..asked.partitions.len().min(LOOKED_AT)];
    let members = roster.members();
    let mut heat: HashMap<u32, f64> = HashMap::new();
    for partition in looked_at {
        for (rank, worker) in roster.ranked(partition).iter().enumerate() {
            if let Some(place) = roster.place(*worker) {
                let owns = if rank < OWNERS { SHOULD_HAVE } else { MAY_HAVE };
                *heat.entry(place).or_default() += owns;
            }
        }
    }
    let owners = heat.len();
    if members.len() <= owners + OTHERS {
        (0..members.len() as u32).for_each(|place| {
            heat.entry(place).or_default();
        });
    } else {
        while heat.len() < owners + OTHERS {
            let place = random.random_range(0..members.len() as u32);
            heat.entry(place).or_default();
        }
        // One operator may run so many workers that only its own were drawn.
        for place in of_other_operators(roster, &heat, asked, now, random) {
            heat.entry(place).or_default();
        }
    }
    let fingerprints: Vec<u32> = looked_at.iter().map(Holdings::fingerprint).collect();
    // In the order of their ids, whatever the order of the map: the draws have to be the same.
    let mut heat: Vec<(u32, f64)> = heat.into_iter().collect();
    heat.sort_unstable_by_key(|one| one.0);
    heat.into_iter()
        .map(|(place, owned)| (&members[place as usize], owned))
        .filter(|(member, _)| member.ask() <= asked.pays)
        .map(|(member, owned)| {
            let has = |fingerprint: &&u32| member.holdings().has_fingerprint(**fingerprint);
            let held = fingerprints.iter().filter(has).count() as f64;
            let unknown = (looked_at.len() as f64 - held).max(0.0);
            let heat = HAS * held + owned.min(unknown * SHOULD_HAVE);
            Candidate {
                member,
                heat: heat.max(MAY_HAVE),
            }
        })
        .collect()
}

/// The places of workers of as many more operators as a quorum lacks among those that were drawn.
fn of_other_operators(
    roster: &Roster,
    drawn: &HashMap<u32, f64>,
    asked: Asked<'_>,
    now: Duration,
    random: &mut impl Rng,
) -> Vec<u32> {
    let able = |place: &&u32| {
        let member = &roster.members()[**place as usize];
        hope(member, now) == Hope::Good && member.ask() <= asked.pays
    };
    let operator = |place: &u32| roster.members()[*place as usize].operator;
    let drawn: HashSet<WorkerId> = drawn.keys().filter(able).map(operator).collect();
    let lacking = asked.needed.saturating_sub(drawn.len());
    if lacking == 0 {
        return Vec::new();
    }
    let others = roster.by_operator().iter();
    let mut others: Vec<_> = others.filter(|(id, _)| !drawn.contains(*id)).collect();
    others.shuffle(random);
    let any_able = others.into_iter().filter_map(|(_, places)| {
        let able: Vec<u32> = places.iter().filter(able).copied().collect();
        able.choose(random).copied()
    });
    any_able.take(lacking).collect()
}

fn weight(roster: &Roster, candidate: &Candidate<'_>, class: Class, now: Duration) -> f64 {
    let member = candidate.member;
    let heartbeat = &member.known.heartbeat;
    let waiting = f64::from(member.record().in_flight()) + f64::from(heartbeat.waiting);
    let load = waiting / f64::from(heartbeat.concurrency.clamp(1, 1_024));
    let busy = if member.record().is_busy(now) {
        BUSY
    } else {
        1.0
    };
    let weight =
        member.merit * roster.speed(member, class) * candidate.heat * member.suits(class) * busy
            / (1.0 + load * load);
    weight.clamp(1e-30, 1e30)
}

/// Puts workers that were not chosen in the places of some that were.
fn explore<'a>(
    roster: &'a Roster,
    order: &mut Vec<&'a Arc<Member>>,
    asked: Asked<'_>,
    config: &RaceConfig,
    now: Duration,
    random: &mut impl Rng,
) {
    let members = roster.members();
    for place in 0..config.racers.min(order.len()) {
        if random.random::<f64>() >= config.exploration {
            continue;
        }
        let other = &members[random.random_range(0..members.len())];
        if hope(other, now) != Hope::Good || other.ask() > asked.pays {
            continue;
        }
        let here = |member: &&Arc<Member>| member.id() == other.id();
        match order.iter().position(here) {
            Some(found) if found > place => order.swap(found, place),
            Some(_) => {}
            None => {
                let replaced = std::mem::replace(&mut order[place], other);
                order.push(replaced);
                // Suspects stay last. Each is looked at once: circuits open and close meanwhile.
                order.sort_by_cached_key(|member| hope(member, now));
            }
        }
    }
}

/// How much hope there is that a worker answers.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Hope {
    Good,
    /// It missed heartbeats.
    Little,
    /// Its circuit is open.
    Least,
}

fn hope(member: &Member, now: Duration) -> Hope {
    if member.record().circuit(now) == Circuit::Open {
        Hope::Least
    } else if member.known.health == Health::Healthy {
        Hope::Good
    } else {
        Hope::Little
    }
}

/// A number above 0 and up to 1.
fn even(random: &mut impl Rng) -> f64 {
    1.0 - random.random::<f64>()
}
