//! When workers disagree: two more are asked, and whoever is then in the minority was wrong.

use crate::{Router, contest::Traces, outbox::Message, racer};
use futures::future::join_all;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use streamsync_core::{Amount, Class, Outcome, SignedAnswer, WorkerId};
use streamsync_race::{Asked, Member, choose, seeded};
use streamsync_registry::{Evidence, Offence};

/// How many more are asked.
const FURTHER: usize = 2;

/// Finds out who was wrong, excludes them, and files the evidence.
pub(crate) async fn settle(router: &Router, traces: Traces, decided: Option<Outcome>) {
    let Traces {
        query,
        class,
        asked,
        mut signed,
        dishonest,
    } = traces;
    let first = signed.first().map(|signed| signed.outcome);
    let disagree = signed.iter().any(|signed| Some(signed.outcome) != first);
    let operator = operators(router);
    if disagree {
        let further = further(router, &query, class, &asked, &operator);
        signed.extend(ask(router, &query, further).await);
    }
    let mut accused = dishonest;
    match majority(&signed, router.race_config().quorum(), &operator) {
        Some(outcome) => {
            if decided.is_some_and(|decided| decided != outcome) {
                tracing::error!(query = %query.id, "more workers refute an answer that was given");
            }
            let wrong = signed.iter().filter(|signed| signed.outcome != outcome);
            for other in wrong {
                accused.entry(other.worker).or_insert(Offence::WrongAnswer);
            }
        }
        None if disagree => {
            metrics::counter!("streamsync_router_undecided_disputes_total").increment(1);
            tracing::error!(query = %query.id, "workers disagree, and there is no majority");
        }
        None => {}
    }
    convict(router, &query, signed, accused);
}

fn convict(
    router: &Router,
    query: &Arc<streamsync_core::Query>,
    answers: Vec<SignedAnswer>,
    accused: BTreeMap<WorkerId, Offence>,
) {
    let now_ms = router.clock().unix_millis();
    let exclusion = Duration::from_secs(router.race_config().exclusion_s);
    let until_ms = now_ms.saturating_add(exclusion.as_millis() as u64);
    // Whoever was excluded in the meantime, for another query, is not convicted twice for what
    // happened at the same time.
    let newly = accused
        .into_iter()
        .filter(|(worker, _)| router.fleet().exclude(*worker, until_ms));
    let accused: BTreeMap<_, _> = newly.collect();
    if accused.is_empty() {
        return;
    }
    for (worker, offence) in &accused {
        let offence = offence.name();
        tracing::warn!(query = %query.id, %worker, offence, "a worker is excluded");
        metrics::counter!("streamsync_router_convictions_total", "offence" => offence).increment(1);
    }
    let evidence = Evidence {
        query: query.as_ref().clone(),
        answers,
        accused,
        at_ms: now_ms,
    };
    router.outbox().send(Message::Evidence(Box::new(evidence)));
}

type Operators = BTreeMap<WorkerId, WorkerId>;

fn operators(router: &Router) -> Operators {
    let known = router.fleet().workers().into_iter();
    known
        .map(|(known, _)| (known.heartbeat.worker, known.heartbeat.operator()))
        .collect()
}

fn operator_of(operators: &Operators, worker: WorkerId) -> WorkerId {
    operators.get(&worker).copied().unwrap_or(worker)
}

/// Workers that have not been asked, best of operators that have not been asked either.
fn further(
    router: &Router,
    query: &streamsync_core::Query,
    class: Class,
    asked: &[WorkerId],
    operators: &Operators,
) -> Vec<Arc<Member>> {
    let involved: BTreeSet<_> = asked
        .iter()
        .map(|worker| operator_of(operators, *worker))
        .collect();
    let roster = router.fleet().roster();
    let now = router.clock().monotonic();
    let who = Asked {
        partitions: &query.partitions,
        class,
        needed: 1,
        pays: Amount(u64::MAX),
    };
    let mut random = seeded(&query.id);
    let choice = choose(&roster, who, router.race_config(), now, &mut random);
    let all = choice.racers.into_iter().chain(choice.reserves);
    let mut others: Vec<_> = all.filter(|member| !asked.contains(&member.id())).collect();
    others.sort_by_key(|member| involved.contains(&member.operator));
    others.truncate(FURTHER);
    others
}

async fn ask(
    router: &Router,
    query: &streamsync_core::Query,
    members: Vec<Arc<Member>>,
) -> Vec<SignedAnswer> {
    let body = racer::body(query, query.time_left_ms);
    let patience = Duration::from_millis(query.time_left_ms);
    let answers = members.iter().map(async |member| {
        let heartbeat = &member.known.heartbeat;
        let asking = router.workers().ask(heartbeat, query, body.clone());
        let reply = tokio::time::timeout(patience, asking).await;
        reply.ok().and_then(Result::ok).map(|reply| reply.signed)
    });
    join_all(answers).await.into_iter().flatten().collect()
}

/// What most operators answered, if they are enough for a quorum, and more than for anything else.
/// In a network with fewer operators than a quorum has, workers count instead.
fn majority(answers: &[SignedAnswer], quorum: usize, operators: &Operators) -> Option<Outcome> {
    let all: BTreeSet<_> = operators.values().collect();
    let voter = |worker| match all.len() >= quorum {
        true => operator_of(operators, worker),
        false => worker,
    };
    let mut votes: Vec<(Outcome, BTreeSet<WorkerId>)> = Vec::new();
    for answer in answers {
        let voter = voter(answer.worker);
        match votes
            .iter_mut()
            .find(|(outcome, _)| *outcome == answer.outcome)
        {
            Some((_, voters)) => drop(voters.insert(voter)),
            None => votes.push((answer.outcome, [voter].into())),
        }
    }
    votes.sort_by_key(|(_, voters)| std::cmp::Reverse(voters.len()));
    let (first, voters) = votes.first()?;
    let second = votes.get(1).map_or(0, |(_, voters)| voters.len());
    (voters.len() >= quorum && voters.len() > second).then_some(*first)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use streamsync_core::{Identity, QueryId, Refusal, clock::ManualClock};

    const RIGHT: Outcome = Outcome::Refused(Refusal::InvalidQuery);
    const WRONG: Outcome = Outcome::Refused(Refusal::FailedOnData);

    fn answer(seed: u8, outcome: Outcome) -> SignedAnswer {
        let query = QueryId::new(&ManualClock::at(1), [0; 10]);
        let identity = Identity::from_seed([seed; 32]);
        SignedAnswer::new(&identity, query, Default::default(), outcome)
    }

    /// Worker 1 has operator 1, and so on, but for those given.
    fn run_by(pairs: &[(u8, u8)]) -> Operators {
        let id = |seed: u8| Identity::from_seed([seed; 32]).id();
        let alone = (1..=9).map(|seed| (id(seed), id(seed)));
        let together = pairs.iter().map(|(worker, by)| (id(*worker), id(*by)));
        alone.chain(together).collect()
    }

    fn found(right: &[u8], wrong: &[u8], operators: &Operators) -> Option<Outcome> {
        let right = right.iter().map(|seed| answer(*seed, RIGHT));
        let wrong = wrong.iter().map(|seed| answer(*seed, WRONG));
        let answers: Vec<_> = right.chain(wrong).collect();
        majority(&answers, 3, operators)
    }

    #[test]
    fn the_majority_decides_if_it_is_a_quorum() {
        let alone = run_by(&[]);
        assert_eq!(found(&[1, 2, 3], &[4], &alone), Some(RIGHT));
        assert_eq!(found(&[1, 2], &[4], &alone), None);
        assert_eq!(found(&[1, 2, 3], &[4, 5, 6], &alone), None);
        assert_eq!(found(&[1], &[4, 5, 6], &alone), Some(WRONG));
    }

    #[test]
    fn an_operator_has_one_vote() {
        let together = run_by(&[(5, 4), (6, 4), (7, 4)]);
        assert_eq!(found(&[1, 2, 3], &[4, 5, 6, 7], &together), Some(RIGHT));
        assert_eq!(found(&[], &[4, 5, 6, 7], &together), None);
    }
}
