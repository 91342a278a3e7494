//! Keys, nonces, usage and prices.

use super::{Identity, Redis, Registry, config, credit::act};
use futures::StreamExt;
use std::time::Duration;
use streamsync_core::{
    ApiKey, KeyId, Limits, Salt, Scope,
    clock::{Clock, SystemClock},
};
use streamsync_registry::{Multipliers, News, Usage};

fn key(number: u8) -> ApiKey {
    ApiKey {
        id: KeyId::new([number; 16]),
        client: "acme".parse().unwrap(),
        scopes: [Scope::Query].into(),
        limits: Default::default(),
        salts: vec![Salt {
            salt: "00".to_owned(),
            master: "11".to_owned(),
            until_ms: None,
        }],
        created_ms: 1,
        revoked_ms: None,
    }
}

pub async fn keys() {
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    let mut news = registry.news().await.unwrap();
    let (none, start) = registry.changed_keys(0).await.unwrap();
    assert!(none.is_empty());
    let one = key(1);
    assert!(
        registry
            .put_key(None, &one, &act("create-key"))
            .await
            .unwrap()
    );
    assert_eq!(news.next().await, Some(News::Registry));
    assert!(
        !registry
            .put_key(None, &one, &act("create-key"))
            .await
            .unwrap(),
        "there is one"
    );
    assert!(
        registry
            .put_key(None, &key(2), &act("create-key"))
            .await
            .unwrap()
    );
    assert_eq!(registry.api_keys().await.unwrap(), [key(1), key(2)]);
    let (changed, _) = registry.changed_keys(start).await.unwrap();
    assert_eq!(changed.len(), 2);

    let revoked = ApiKey {
        revoked_ms: Some(5),
        ..one.clone()
    };
    assert!(
        registry
            .put_key(Some(&one), &revoked, &act("revoke-key"))
            .await
            .unwrap()
    );
    assert!(
        !registry
            .put_key(Some(&one), &one, &act("limit-key"))
            .await
            .unwrap(),
        "it was revoked meanwhile"
    );
    assert_eq!(registry.api_key(&one.id).await.unwrap(), Some(revoked));
    assert_eq!(registry.api_key(&KeyId::new([9; 16])).await.unwrap(), None);
    let acts = registry.newest_acts(10).await.unwrap();
    let actions: Vec<_> = acts.iter().map(|act| act.action.as_str()).collect();
    assert_eq!(actions, ["revoke-key", "create-key", "create-key"]);

    let pending = registry.acts_to_archive(2).await.unwrap();
    assert_eq!(pending.len(), 2);
    assert_eq!(registry.acts_to_archive(10).await.unwrap(), pending);
    registry.acts_archived(&pending[1].id).await.unwrap();
    assert_eq!(registry.acts_to_archive(10).await.unwrap().len(), 1);
}

pub async fn nonces() {
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    let claim = async |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        registry
            .claim_nonces(&names, Duration::from_secs(60))
            .await
            .unwrap()
    };
    assert_eq!(claim(&["a", "b", "a"]).await, [true, true, false]);
    assert_eq!(claim(&["c", "b"]).await, [true, false]);
    assert!(claim(&[]).await.is_empty());
}

pub async fn usage() {
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    let router = |seed: u8| Identity::from_seed([seed; 32]).id();
    assert_eq!(registry.router_is_there(router(1)).await.unwrap(), 1);
    assert_eq!(registry.router_is_there(router(2)).await.unwrap(), 2);
    assert_eq!(registry.router_is_there(router(1)).await.unwrap(), 2);
    let limits = Limits {
        requests_per_minute: Some(60),
        concurrent: Some(10),
        ..Limits::default()
    };
    let add = async |seed, requests, concurrent| {
        let usage = Usage {
            requests,
            rows: 10,
            bytes: 100,
            concurrent,
        };
        let used = [(KeyId::new([1; 16]), usage, limits)];
        registry.add_usage(router(seed), 2, &used).await.unwrap()[0]
    };
    let began = SystemClock.monotonic();
    let first = add(1, 4, 2).await;
    assert_eq!((first.used.requests, first.used.concurrent), (4, 2));
    assert_eq!(
        (first.requests, first.begins),
        (28, 4),
        "half of what is left"
    );
    let second = add(2, 6, 1).await;
    // Unless a minute began in between.
    if second.left <= first.left {
        assert_eq!(
            (second.used.requests, second.used.rows, second.used.bytes),
            (10, 20, 200)
        );
        assert_eq!(second.requests, 11, "half of 60 - 10 - 28");
        // All that may still be let through is within the limits.
        assert!(10 + first.requests + second.requests <= 60);
    }
    // Unless the first has said nothing for too long.
    if SystemClock.monotonic() - began < Duration::from_secs(3) {
        assert_eq!(
            (second.used.concurrent, second.begins),
            (3, 2),
            "half of 10 - 3 - 4, rounded up"
        );
    }
    assert_eq!(add(1, 0, 0).await.used.concurrent, 1, "said anew each time");
}

pub async fn prices() {
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    assert_eq!(
        registry.multipliers().await.unwrap(),
        Multipliers::default()
    );
    let (one, two) = (
        Multipliers([1_125_000, 1_000_000, 5]),
        Multipliers([1, 2, 3]),
    );
    registry.set_multipliers(&one).await.unwrap();
    registry.set_multipliers(&two).await.unwrap();
    assert_eq!(registry.multipliers().await.unwrap(), two);
    let past = registry.past_multipliers(10).await.unwrap();
    assert_eq!([past[0].multipliers, past[1].multipliers], [two, one]);
    assert!(past[0].at_ms >= past[1].at_ms && past[1].at_ms > 0);
}
