//! Evidence and audits.

use super::{Identity, Redis, Registry, config};
use futures::StreamExt;
use std::time::Duration;
use streamsync_core::{Outcome, Query, QueryId, Refusal, SignedAnswer, clock::ManualClock};
use streamsync_registry::{Audit, Evidence, Finding, LIE, News, Offence};

const HOUR: Duration = Duration::from_secs(3_600);

pub fn evidence(number: u8, accused: &Identity) -> Evidence {
    let id = QueryId::new(&ManualClock::at(1), [number; 10]);
    let outcome = Outcome::Refused(Refusal::InvalidQuery);
    Evidence {
        query: Query {
            id,
            sql: "SELECT 1".to_owned(),
            parameters: Vec::new(),
            snapshot: Default::default(),
            partitions: Vec::new(),
            constraints: Default::default(),
            ordered: false,
            time_left_ms: 1,
            max_rows: 1,
            max_bytes: 1,
        },
        answers: vec![SignedAnswer::new(accused, id, Default::default(), outcome)],
        accused: [(accused.id(), Offence::WrongAnswer)].into(),
        at_ms: 5,
    }
}

pub async fn convict() {
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    let liar = Identity::from_seed([1; 32]);
    let mut news = registry.news().await.unwrap();
    assert!(registry.convict(&evidence(1, &liar), HOUR).await.unwrap());
    assert_eq!(news.next().await, Some(News::Registry));
    assert!(!registry.convict(&evidence(1, &liar), HOUR).await.unwrap());
    let first = registry.standing(liar.id()).await.unwrap();
    assert_eq!((first.convictions, first.reputation.wrong), (1, LIE));
    assert!(first.is_excluded(first.updated_ms + HOUR.as_millis() as u64 - 1));
    assert!(!first.is_excluded(first.updated_ms + HOUR.as_millis() as u64 + 1_000));

    // The second time it is excluded for twice as long.
    assert!(registry.convict(&evidence(2, &liar), HOUR).await.unwrap());
    let second = registry.standing(liar.id()).await.unwrap();
    assert_eq!(second.convictions, 2);
    let longer = second.excluded_until_ms - first.excluded_until_ms;
    assert!((3_599_000..3_660_000).contains(&longer), "{longer}");
}

pub async fn archive() {
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    assert!(registry.evidence_to_archive(10).await.unwrap().is_empty());
    let liars: Vec<_> = (1..=5)
        .map(|seed| Identity::from_seed([seed; 32]))
        .collect();
    for (number, liar) in (1..).zip(&liars[..3]) {
        registry
            .convict(&evidence(number, liar), HOUR)
            .await
            .unwrap();
    }
    let batch = registry.evidence_to_archive(3).await.unwrap();
    assert_eq!(batch.len(), 3);
    assert_eq!(batch[0].entry, Some(evidence(1, &liars[0])));
    // Whoever archives dies here, and more comes in.
    registry
        .convict(&evidence(4, &liars[3]), HOUR)
        .await
        .unwrap();
    assert_eq!(registry.evidence_to_archive(10).await.unwrap(), batch);
    registry.evidence_archived(&batch[2].id).await.unwrap();
    let rest = registry.evidence_to_archive(10).await.unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].entry, Some(evidence(4, &liars[3])));
    registry.evidence_archived(&rest[0].id).await.unwrap();
    assert!(registry.evidence_to_archive(10).await.unwrap().is_empty());
}

pub async fn audit() {
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    let (one, two) = (Identity::from_seed([1; 32]), Identity::from_seed([2; 32]));
    let query = evidence(1, &one).query.id;
    assert_eq!(registry.audit(query).await.unwrap(), None);
    let audit = Audit {
        query,
        winner: one.id(),
        finding: Finding::Refuted,
        verifiers: Vec::new(),
        dissenters: vec![two.id()],
    };
    registry.keep_audit(&audit).await.unwrap();
    assert_eq!(registry.audit(query).await.unwrap(), Some(audit));
}
