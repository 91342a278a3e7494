//! Who is chosen, how often, and who never.

use super::{changed, ids, known, partition, query, roster, run_by};
use crate::{Asked, Choice, Roster, choose, seeded};
use proptest::prelude::*;
use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};
use streamsync_core::{
    Amount, Class, Partition, WorkerId,
    config::{Profile, RaceConfig},
};
use streamsync_registry::{Health, Holdings, Observed};

fn choose_for(roster: &Roster, partitions: &[Partition], number: u64) -> Choice {
    let asked = Asked {
        partitions,
        class: Class::Lookup,
        needed: 3,
        pays: Amount(u64::MAX),
    };
    let mut random = seeded(&query(number));
    choose(
        roster,
        asked,
        &RaceConfig::default(),
        Duration::ZERO,
        &mut random,
    )
}

/// How often each worker races in many queries on one partition.
fn races(roster: &Roster, partitions: &[Partition], queries: u64) -> HashMap<WorkerId, u64> {
    let mut races = HashMap::new();
    for number in 0..queries {
        for id in ids(&choose_for(roster, partitions, number).racers) {
            *races.entry(id).or_default() += 1;
        }
    }
    races
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn bounds(
        workers in proptest::collection::vec((0u8..3, 0u8..12, 0u8..8), 0..60),
        partitions in 0u64..12,
        number: u64,
    ) {
        let known: Vec<_> = (0..).zip(&workers).map(|(number, (health, operator, excluded))| {
            let mut known = run_by(known(number), *operator);
            known.health = [Health::Healthy, Health::Suspect, Health::Failed][usize::from(*health)];
            known.standing.excluded_until_ms = u64::from(*excluded == 0);
            known
        }).collect();
        let may = |known: &&crate::Known| {
            known.health != Health::Failed && known.standing.excluded_until_ms == 0
        };
        let eligible: BTreeSet<_> =
            known.iter().filter(may).map(|known| known.heartbeat.worker).collect();
        let roster = roster(known);
        let partitions: Vec<_> = (0..partitions).map(partition).collect();
        let Choice { racers, reserves } = choose_for(&roster, &partitions, number);

        let chosen = [ids(&racers), ids(&reserves)].concat();
        let distinct: BTreeSet<_> = chosen.iter().copied().collect();
        prop_assert_eq!(distinct.len(), chosen.len(), "nobody twice");
        prop_assert!(distinct.is_subset(&eligible), "nobody failed or excluded");
        prop_assert!(racers.len() <= 5);
        prop_assert!(chosen.len() >= eligible.len().min(5), "as many as there are");
        let operators: BTreeSet<_> = racers.iter().map(|racer| racer.operator).collect();
        if roster.operators() >= 3 {
            prop_assert_eq!(operators.len(), racers.len(), "one racer an operator");
            let healthy = racers.iter().all(|racer| racer.known.health == Health::Healthy);
            prop_assert!(healthy, "no suspect while there is a healthy quorum");
        }
        let again = choose_for(&roster, &partitions, number);
        prop_assert_eq!(ids(&again.racers), ids(&racers), "the same query, the same choice");
        prop_assert_eq!(ids(&again.reserves), ids(&reserves));
    }

    #[test]
    fn every_router_that_knows_the_same_decides_the_same(mut order in Just((0..40u16).collect::<Vec<_>>()).prop_shuffle(), number: u64) {
        let one = roster((0..40).map(known).collect());
        let other = roster(order.drain(..).map(known).collect());
        let partitions = [partition(1)];
        let (one, other) = (choose_for(&one, &partitions, number), choose_for(&other, &partitions, number));
        prop_assert_eq!(ids(&one.racers), ids(&other.racers));
    }
}

#[test]
fn one_who_runs_nearly_all_workers_is_not_all_of_a_race() {
    // 2 workers of 500 are of others: drawing some of them finds these two hardly ever.
    let all = (0..500).map(|number| run_by(known(number), number.saturating_sub(497) as u8));
    let roster = roster(all.collect());
    for number in 0..200 {
        let Choice { racers, .. } = choose_for(&roster, &[partition(number)], number);
        let operators: BTreeSet<_> = racers.iter().map(|racer| racer.operator).collect();
        assert_eq!(operators.len(), 3, "query {number}");
    }
}

#[test]
fn equal_workers_race_equally_often() {
    let roster = roster((0..20).map(known).collect());
    let mut races: HashMap<WorkerId, u64> = HashMap::new();
    for number in 0..4_000 {
        let partitions = [partition(number)];
        for id in ids(&choose_for(&roster, &partitions, number).racers) {
            *races.entry(id).or_default() += 1;
        }
    }
    // 1,000 races each, but for how the partitions happen to be shared out: 4,000 draws of 5 in
    // 20, a standard deviation of 27.
    assert_eq!(races.len(), 20);
    for count in races.values() {
        assert!((850..1_150).contains(count), "{count}");
    }
}

#[test]
fn owners_race_and_others_now_and_then() {
    let roster = roster((0..100).map(known).collect());
    let partitions = [partition(7)];
    let races = races(&roster, &partitions, 4_000);
    let owners: BTreeSet<_> = roster.ranked(&partitions[0])[..5].iter().copied().collect();
    let by_owners: u64 = races
        .iter()
        .filter(|(id, _)| owners.contains(id))
        .map(|(_, count)| count)
        .sum();
    let share = by_owners as f64 / 20_000.0;
    // 3% of the places go to anyone, and now and then the draw prefers one of the many others.
    assert!((0.80..0.975).contains(&share), "{share}");
    assert!(races.len() > 50, "{} of 100 get a chance", races.len());
}

#[test]
fn what_makes_a_worker_better_makes_it_race_more() {
    let partitions: Vec<Partition> = Vec::new();
    type Better = Box<dyn Fn(u16) -> crate::Known>;
    let base = |number| known(number);
    let better: [(&str, Better); 5] = [
        (
            "stake",
            Box::new(|number| {
                let mut known = known(number);
                known.standing.stake = Some(Amount(400_000 * Amount::STRM.0));
                known
            }),
        ),
        (
            "reputation",
            Box::new(|number| {
                let mut known = known(number);
                known.standing.reputation.add(&Observed {
                    right: 1_000,
                    answered: 1_000,
                    ..Observed::default()
                });
                known
            }),
        ),
        (
            "profile",
            Box::new(|number| {
                changed(known(number), |heartbeat| {
                    heartbeat.profile = Profile::Speed
                })
            }),
        ),
        (
            "latency",
            Box::new(|number| {
                let known = known(number);
                known.record.asked(Duration::ZERO);
                known
                    .record
                    .answered(Class::Lookup, Duration::from_micros(100), Duration::ZERO);
                known
            }),
        ),
        ("an idle queue", Box::new(known)),
    ];
    for (what, better) in better {
        let known: Vec<_> = (0..20)
            .map(|number| match (number, what) {
                (0, _) => better(0),
                (_, "latency") => {
                    let known = base(number);
                    known.record.asked(Duration::ZERO);
                    known.record.answered(
                        Class::Lookup,
                        Duration::from_micros(300),
                        Duration::ZERO,
                    );
                    known
                }
                (_, "an idle queue") => changed(base(number), |heartbeat| heartbeat.waiting = 8),
                _ => base(number),
            })
            .collect();
        let id = known[0].heartbeat.worker;
        let races = races(&roster(known), &partitions, 2_000);
        let of_others: u64 = races
            .iter()
            .filter(|(other, _)| **other != id)
            .map(|(_, count)| count)
            .sum();
        let (own, others) = (races[&id] as f64, of_others as f64 / 19.0);
        assert!(own > 1.08 * others, "{what}: {own} races, others {others}");
    }
}

#[test]
fn an_ask_ten_times_as_high_and_a_lie_make_races_rare() {
    let dear = changed(known(0), |heartbeat| heartbeat.ask = Amount(10));
    let mut liar = known(1);
    liar.standing.reputation.convict();
    let (dear_id, liar_id) = (dear.heartbeat.worker, liar.heartbeat.worker);
    let known: Vec<_> = [dear, liar].into_iter().chain((2..20).map(known)).collect();
    let races = races(&roster(known), &[], 2_000);
    let usual = 2_000 * 5 / 20;
    assert!(races[&dear_id] < usual / 3, "{}", races[&dear_id]);
    assert!(races[&liar_id] < usual / 4, "{}", races[&liar_id]);
}

#[test]
fn who_says_that_it_has_the_partition_is_preferred() {
    let wanted = partition(3);
    let known: Vec<_> = (0..12)
        .map(|number| {
            changed(known(number), |heartbeat| {
                if number < 5 {
                    heartbeat.holdings = [&wanted].into_iter().collect::<Holdings>();
                }
            })
        })
        .collect();
    let holders: BTreeSet<_> = known[..5]
        .iter()
        .map(|known| known.heartbeat.worker)
        .collect();
    let races = races(&roster(known), std::slice::from_ref(&wanted), 1_000);
    let by_holders: u64 = races
        .iter()
        .filter(|(id, _)| holders.contains(id))
        .map(|(_, count)| count)
        .sum();
    assert!(by_holders > 3_000, "{by_holders} of 5,000");
}

#[test]
fn a_worker_whose_circuit_is_open_is_the_last_resort() {
    let known: Vec<_> = (0..10).map(known).collect();
    let broken = known[0].clone();
    for _ in 0..3 {
        broken.record.asked(Duration::ZERO);
        broken.record.failed(Duration::ZERO, 0.0);
    }
    let id = broken.heartbeat.worker;
    let roster = roster(known);
    assert_eq!(races(&roster, &[], 500).get(&id), None);
    let choice = choose_for(&roster, &[], 1);
    assert_eq!(choice.reserves.last().map(|last| last.id()), Some(id));
}

#[test]
fn two_operators_are_not_three() {
    let known: Vec<_> = (0..6)
        .map(|number| run_by(known(number), (number % 2) as u8))
        .collect();
    let choice = choose_for(&roster(known), &[], 1);
    // No quorum of different operators is possible, so all may run.
    assert_eq!(choice.racers.len(), 5);
    let first: BTreeSet<_> = choice.racers[..2]
        .iter()
        .map(|racer| racer.operator)
        .collect();
    assert_eq!(first.len(), 2, "different operators first");
}

#[test]
fn a_stake_weighs_the_same_however_many_workers_share_it_and_too_little_is_nothing() {
    let staked = |number: u16, operator: u8, stake: u64| {
        let mut known = run_by(known(number), operator);
        known.standing.stake = Some(Amount(stake * Amount::STRM.0));
        known
    };
    // Operator 0 runs twenty workers on the stake that the others run one on.
    let mut all: Vec<_> = (0..20).map(|number| staked(number, 0, 20_000)).collect();
    all.extend((20..40).map(|number| staked(number, number as u8, 20_000)));
    all.push(staked(40, 40, 9_999));
    all.push(known(41));
    let least = Some(Amount(10_000 * Amount::STRM.0));
    let roster = Roster::new(all, &RaceConfig::default(), 0, least, None);
    assert_eq!(roster.members().len(), 40, "too little, and none at all");
    let weight = |operator: WorkerId| {
        let own = roster.members().iter();
        let own = own.filter(|member| member.operator == operator);
        own.map(|member| member.merit).sum::<f64>()
    };
    let many = weight(streamsync_core::Identity::from_seed([0; 32]).id());
    let one = weight(streamsync_core::Identity::from_seed([20; 32]).id());
    assert!((many / one - 1.0).abs() < 1e-9, "{many} {one}");
}
