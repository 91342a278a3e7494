//! Leases.

use super::{Redis, Registry, config, eventually};
use std::time::Duration;
use uuid::Uuid;

pub async fn exclusive() {
    let redis = Redis::start().await;
    let registry = Registry::connect(&config(&redis)).await.unwrap();
    let (one, two) = (Uuid::from_bytes([1; 16]), Uuid::from_bytes([2; 16]));
    let minute = Duration::from_secs(60);
    let lease = async |holder, time| registry.lease("job", holder, time).await.unwrap();
    let first = lease(one, minute).await.unwrap();
    assert_eq!(lease(one, minute).await, Some(first));
    assert_eq!(lease(two, minute).await, None);
    registry.release("job", two).await.unwrap();
    assert_eq!(lease(two, minute).await, None);
    registry.release("job", one).await.unwrap();
    let second = lease(two, Duration::from_millis(50)).await.unwrap();
    assert!(second.token > first.token);
    eventually(Duration::from_secs(5), async || {
        lease(one, minute)
            .await
            .is_some_and(|third| third.token > second.token)
    })
    .await;
}
