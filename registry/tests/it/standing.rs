//! Records of workers.

use super::{Identity, Redis, Registry, config};
use redis::AsyncCommands;
use std::time::Duration;
use streamsync_registry::{Cursor, Observed, Reputation, Standing, TrustedGrants};
use uuid::Uuid;

const HALF_LIFE: Duration = Duration::from_secs(3_600);

fn seen(right: u64) -> Observed {
    Observed {
        right,
        wrong: 1,
        answered: right + 1,
        failed: 2,
        places: 0.75 * right as f64,
        placed: right,
    }
}

fn report(number: u8) -> Uuid {
    Uuid::from_bytes([number; 16])
}

pub async fn sums() {
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    let worker = Identity::from_seed([1; 32]).id();
    let mut expected = Reputation::default();
    let mut before = 0;
    for number in 1..=5_u8 {
        let observed = seen(u64::from(number) * 100);
        let told = [(worker, observed)].into();
        // What was there is made to look old: half a half-life a time.
        let key = format!("{{streamsync}}:standing:{worker}");
        let mut raw = redis.connection().await.unwrap();
        if before > 0 {
            before -= HALF_LIFE.as_millis() as u64 / 2;
            let _: () = raw.hset(&key, "updated_ms", before).await.unwrap();
        }
        assert!(
            registry
                .observe(report(number), &told, HALF_LIFE)
                .await
                .unwrap()
        );
        let after: u64 = raw.hget(&key, "updated_ms").await.unwrap();
        if before > 0 {
            expected.fade(Duration::from_millis(after - before), HALF_LIFE);
        }
        expected.add(&observed);
        before = after;
    }
    let standing = registry.standing(worker).await.unwrap();
    let close = |one: f64, other: f64| (one - other).abs() < 1e-6 * other.max(1.0);
    let found = standing.reputation;
    for (one, other) in [
        (found.right, expected.right),
        (found.wrong, expected.wrong),
        (found.answered, expected.answered),
        (found.failed, expected.failed),
        (found.places, expected.places),
        (found.placed, expected.placed),
    ] {
        assert!(close(one, other), "{found:?} {expected:?}");
    }
    // The first minute of its history, as it was first seen.
    let history = registry.history(worker).await.unwrap();
    assert_eq!(history.len(), 1);
    let mut first = Reputation::default();
    first.add(&seen(100));
    assert!(close(history[0].score, first.score()));
}

pub async fn replay() {
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    let worker = Identity::from_seed([1; 32]).id();
    let told = [(worker, seen(10))].into();
    assert!(registry.observe(report(1), &told, HALF_LIFE).await.unwrap());
    assert!(!registry.observe(report(1), &told, HALF_LIFE).await.unwrap());
    let standing = registry.standing(worker).await.unwrap();
    assert_eq!(standing.reputation.right, 10.0);
    let unknown = Identity::from_seed([2; 32]).id();
    assert_eq!(
        registry.standing(unknown).await.unwrap(),
        Standing::default()
    );
}

pub async fn restore() {
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    let (known, lost) = (
        Identity::from_seed([1; 32]).id(),
        Identity::from_seed([2; 32]).id(),
    );
    let told = [(known, seen(10))].into();
    registry.observe(report(1), &told, HALF_LIFE).await.unwrap();
    let had = |right| Standing {
        reputation: Reputation {
            right,
            ..Reputation::default()
        },
        convictions: 2,
        excluded_until_ms: 77,
        stake: None,
        updated_ms: 66,
    };
    let standings = [(known, had(5.0)), (lost, had(5.5))].into();
    assert_eq!(registry.restore(&standings).await.unwrap(), 1);
    assert_eq!(registry.restore(&standings).await.unwrap(), 0);
    assert_eq!(registry.standing(lost).await.unwrap(), had(5.5));
    assert_eq!(
        registry.standing(known).await.unwrap().reputation.right,
        10.0
    );
    let mut trusted = TrustedGrants::default();
    let changes = registry
        .changes(Cursor::default(), &mut trusted)
        .await
        .unwrap();
    assert_eq!(changes.standings.len(), 2);
}
