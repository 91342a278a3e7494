//! Races, one event after the other.

use super::{ids, known, roster, run_by};
use crate::{Choice, Failure, Known, Member, Race, Rules, State};
use proptest::prelude::*;
use std::{collections::BTreeSet, sync::Arc, time::Duration};
use streamsync_core::{Class, WorkerId, config::Policy};

const MS: Duration = Duration::from_millis(1);

fn rules(policy: Policy) -> Rules {
    Rules {
        class: Class::Lookup,
        policy,
        needed: 3,
        racers: 5,
        most_asked: 15,
        hedge_after: 10 * MS,
    }
}

/// The first five race, the others are reserves.
fn field(known: Vec<Known>) -> Choice {
    let mut racers: Vec<Arc<Member>> = roster(known).members().to_vec();
    let reserves = racers.split_off(racers.len().min(5));
    Choice { racers, reserves }
}

fn start(policy: Policy, workers: u16) -> (Race<u8>, Vec<WorkerId>) {
    let (race, asked) = Race::start(rules(policy), field((0..workers).map(known).collect()), MS);
    (race, ids(&asked))
}

#[test]
fn the_first_answer_that_two_more_confirm_wins() {
    let (mut race, asked) = start(Policy::Full, 8);
    assert_eq!(asked.len(), 5);
    assert!(race.answered(asked[3], 1, 2 * MS).is_empty());
    assert!(race.answered(asked[0], 1, 3 * MS).is_empty());
    assert_eq!(race.state(), State::Running);
    race.answered(asked[4], 1, 4 * MS);
    let State::Decided(decision) = race.state() else {
        panic!("three agree");
    };
    assert_eq!(decision.agreed, [asked[3], asked[0], asked[4]]);
    assert_eq!((decision.outcome, decision.operators), (1, 3));
    let seen = race.close(Some(&1), false, 5 * MS, 0.0);
    assert_eq!(seen[&asked[3]].right, 1);
    let place = |worker| seen[&worker].places;
    assert_eq!(
        [place(asked[3]), place(asked[0]), place(asked[4])],
        [1.0, 0.75, 0.5]
    );
    assert_eq!(
        place(asked[1]),
        0.125,
        "the last two share the places behind"
    );
    assert_eq!(
        seen[&asked[1]].answered + seen[&asked[1]].failed,
        0,
        "nobody knows"
    );
}

#[test]
fn a_hedged_race_starts_with_a_quorum_and_opens_when_it_takes_long() {
    let (mut race, asked) = start(Policy::Hedged, 8);
    assert_eq!(asked.len(), 3);
    assert_eq!(race.hedge_at(), Some(11 * MS));
    assert_eq!(race.hedge(11 * MS).len(), 2);
    // From now on one more at 4, 8 and 16 times what is usual.
    for (after, more) in [(41, 1), (81, 1), (161, 1)] {
        assert_eq!(race.hedge_at(), Some(after * MS));
        assert_eq!(race.hedge(after * MS).len(), more);
    }
    assert_eq!(race.hedge_at(), None);
}

#[test]
fn a_hedged_race_opens_at_a_failure_and_at_a_disagreement() {
    let (mut race, asked) = start(Policy::Hedged, 9);
    assert_eq!(race.failed(asked[0], Failure::Broken, 2 * MS, 0.0).len(), 3);
    let (mut race, asked) = start(Policy::Hedged, 9);
    assert!(race.answered(asked[0], 1, 2 * MS).is_empty());
    assert_eq!(race.answered(asked[1], 2, 2 * MS).len(), 2);
}

#[test]
fn who_fails_is_replaced_while_there_are_reserves() {
    let (mut race, asked) = start(Policy::Full, 7);
    assert_eq!(race.failed(asked[0], Failure::Busy, 2 * MS, 0.0).len(), 1);
    assert_eq!(race.failed(asked[1], Failure::Broken, 2 * MS, 0.0).len(), 1);
    assert!(
        race.failed(asked[2], Failure::Broken, 2 * MS, 0.0)
            .is_empty()
    );
    assert_eq!(race.state(), State::Running);
    let seen = race.close(None, false, 3 * MS, 0.0);
    assert_eq!((seen[&asked[0]].failed, seen[&asked[1]].failed), (0, 1));
}

#[test]
fn a_split_vote_calls_for_more_until_one_side_wins() {
    let (mut race, asked) = start(Policy::Full, 9);
    for (worker, outcome) in asked.iter().zip([1, 1, 2, 2]) {
        assert!(race.answered(*worker, outcome, 2 * MS).is_empty());
    }
    let more = ids(&race.answered(asked[4], 3, 2 * MS));
    assert_eq!(more.len(), 1, "one more could decide it");
    let more = ids(&race.answered(more[0], 4, 3 * MS));
    race.answered(more[0], 2, 4 * MS);
    assert!(matches!(race.state(), State::Decided(decision) if decision.outcome == 2));
    let seen = race.close(Some(&2), false, 5 * MS, 0.0);
    assert_eq!((seen[&asked[0]].wrong, seen[&asked[2]].right), (1, 1));
}

#[test]
fn who_cannot_deliver_does_not_count_any_more() {
    let (mut race, asked) = start(Policy::Full, 6);
    for worker in &asked[..3] {
        race.answered(*worker, 1, 2 * MS);
    }
    assert!(matches!(race.state(), State::Decided(_)));
    let more = race.withdrawn(asked[0], Failure::Dishonest, 3 * MS, 0.0);
    assert_eq!(more.len(), 1);
    assert_eq!(race.state(), State::Running);
    race.answered(asked[4], 1, 4 * MS);
    let State::Decided(decision) = race.state() else {
        panic!("three others agree");
    };
    assert_eq!(decision.agreed, [asked[1], asked[2], asked[4]]);
    let seen = race.close(Some(&1), false, 5 * MS, 0.0);
    assert_eq!((seen[&asked[0]].wrong, seen[&asked[0]].failed), (1, 1));
}

#[test]
fn one_operator_cannot_confirm_itself() {
    let by = |operators: &[u8]| {
        let known = (0..)
            .zip(operators)
            .map(|(number, operator)| run_by(known(number), *operator));
        known.collect::<Vec<_>>()
    };
    let all = by(&[1, 1, 1, 2, 3, 4]);
    let operators: Vec<_> = all
        .iter()
        .map(|known| (known.heartbeat.worker, known.heartbeat.operator()))
        .collect();
    let of = |worker: WorkerId| operators.iter().find(|one| one.0 == worker).unwrap().1;
    let (mut race, asked) = Race::start(rules(Policy::Full), field(all), MS);
    let greedy = of(operators[0].0);
    for worker in ids(&asked) {
        if of(worker) == greedy {
            race.answered(worker, 9, 2 * MS);
        }
    }
    assert!(!matches!(race.state(), State::Decided(_)));

    // In a network of two operators three workers have to agree, and both operators.
    let (mut race, asked) = Race::start(rules(Policy::Full), field(by(&[1, 1, 1, 2])), MS);
    let ids = ids(&asked);
    for worker in ids.iter().filter(|worker| of(**worker) == greedy) {
        race.answered(*worker, 9, 2 * MS);
    }
    assert_eq!(race.state(), State::Running);
    let other = ids.iter().find(|worker| of(**worker) != greedy).unwrap();
    race.answered(*other, 9, 2 * MS);
    assert!(matches!(race.state(), State::Decided(decision) if decision.operators == 2));
}

#[test]
fn an_audit_asks_on_after_the_first_answer() {
    let fast = Rules {
        needed: 1,
        ..rules(Policy::Hedged)
    };
    let (mut race, asked) = Race::start(fast, field((0..8).map(known).collect()), MS);
    assert_eq!(asked.len(), 1);
    race.answered(asked[0].id(), 1, 2 * MS);
    assert!(matches!(race.state(), State::Decided(_)));
    let more = race.require(3, 2 * MS);
    assert_eq!(more.len(), 2);
    assert_eq!(race.state(), State::Running);
    more.iter()
        .for_each(|member| drop(race.answered(member.id(), 1, 3 * MS)));
    assert!(matches!(race.state(), State::Decided(_)));
}

#[test]
fn a_race_that_is_dropped_leaves_nothing_in_flight() {
    let choice = field((0..8).map(known).collect());
    let members = [choice.racers.clone(), choice.reserves.clone()].concat();
    let (mut race, asked) = Race::<u8>::start(rules(Policy::Full), choice, MS);
    race.answered(asked[0].id(), 1, 2 * MS);
    race.failed(asked[1].id(), Failure::Broken, 2 * MS, 0.0);
    let in_flight = || {
        members
            .iter()
            .map(|member| member.known.record.in_flight())
            .sum::<u32>()
    };
    assert_eq!(in_flight(), 4);
    drop(race);
    assert_eq!(in_flight(), 0);
}

/// What may happen to a racer.
#[derive(Clone, Debug)]
enum Event {
    Answer(usize, u8),
    Fail(usize, bool),
    Withdraw(usize),
    Hedge,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => (any::<prop::sample::Index>(), 0u8..3).prop_map(|(who, outcome)| Event::Answer(who.index(64), outcome)),
        2 => (any::<prop::sample::Index>(), any::<bool>()).prop_map(|(who, busy)| Event::Fail(who.index(64), busy)),
        1 => any::<prop::sample::Index>().prop_map(|who| Event::Withdraw(who.index(64))),
        1 => Just(Event::Hedge),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    /// Whatever happens: nobody is asked twice, no more than allowed; it is decided only by a quorum
    /// of different operators; it is lost only when nobody is left; nothing stays in flight.
    #[test]
    fn invariants(
        operators in proptest::collection::vec(0u8..8, 0..20),
        hedged: bool,
        events in proptest::collection::vec(event(), 0..60),
    ) {
        let policy = if hedged { Policy::Hedged } else { Policy::Full };
        let known: Vec<_> = (0..).zip(&operators).map(|(number, operator)| run_by(known(number), *operator)).collect();
        let distinct: BTreeSet<_> = operators.iter().collect();
        let choice = field(known);
        let members = [choice.racers.clone(), choice.reserves.clone()].concat();
        let (mut race, asked) = Race::start(rules(policy), choice, MS);
        let mut asked = asked;
        for (step, event) in (2..).zip(events) {
            let now = MS * step;
            let pick = |who: usize| asked.get(who % asked.len().max(1)).map(|member: &Arc<Member>| member.id());
            let more = match event {
                Event::Answer(who, outcome) => pick(who).map(|id| race.answered(id, outcome, now)),
                Event::Fail(who, busy) => {
                    let failure = if busy { Failure::Busy } else { Failure::Broken };
                    pick(who).map(|id| race.failed(id, failure, now, 0.5))
                }
                Event::Withdraw(who) => pick(who).map(|id| race.withdrawn(id, Failure::Dishonest, now, 0.5)),
                Event::Hedge => Some(race.hedge(now)),
            };
            asked.extend(more.unwrap_or_default());
            let names: BTreeSet<_> = asked.iter().map(|member| member.id()).collect();
            prop_assert_eq!(names.len(), asked.len());
            prop_assert!(asked.len() <= 15);
            match race.state() {
                State::Decided(decision) => {
                    prop_assert!(decision.agreed.len() >= 3);
                    prop_assert!(decision.operators >= distinct.len().min(3));
                }
                State::Lost => prop_assert_eq!(race.running(), 0),
                State::Running => prop_assert!(race.running() > 0),
            }
        }
        race.close(None, false, 100 * MS, 0.5);
        prop_assert!(members.iter().all(|member| member.known.record.in_flight() == 0));
    }
}
