//! Waiting for what has no event.

use std::{panic::Location, time::Duration};

/// How often a condition is looked at.
const PERIOD: Duration = Duration::from_millis(20);

/// Waits until a condition holds, and panics if it does not within the deadline.
///
/// For conditions in *other processes* that tell nobody when they come about: a key in Redis that
/// runs out, a worker that a router begins to suspect. Inside one process there is an event to
/// await.
///
/// ```
/// # use std::time::Duration;
/// # tokio::runtime::Runtime::new().expect("a runtime").block_on(async {
/// let file = std::env::temp_dir();
/// streamsync_testing::eventually(Duration::from_secs(5), || async { file.exists() }).await;
/// # });
/// ```
#[track_caller]
pub fn eventually<C, F>(deadline: Duration, mut condition: C) -> impl Future<Output = ()>
where
    C: FnMut() -> F,
    F: Future<Output = bool>,
{
    let caller = Location::caller();
    async move {
        let mut period = tokio::time::interval(PERIOD);
        period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let holds = async {
            loop {
                period.tick().await;
                if condition().await {
                    break;
                }
            }
        };
        if tokio::time::timeout(deadline, holds).await.is_err() {
            panic!("what {caller} waits for did not come about within {deadline:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[tokio::test]
    async fn ends_when_the_condition_holds() {
        let looks = AtomicU32::new(0);
        eventually(Duration::from_secs(30), || async {
            looks.fetch_add(1, Ordering::SeqCst) == 2
        })
        .await;
        assert_eq!(looks.into_inner(), 3);
    }

    #[tokio::test]
    #[should_panic(expected = "did not come about within 50ms")]
    async fn panics_when_it_never_does() {
        eventually(Duration::from_millis(50), || async { false }).await;
    }

    #[tokio::test]
    #[should_panic(expected = "did not come about within 50ms")]
    async fn a_look_that_hangs_is_no_excuse() {
        eventually(Duration::from_millis(50), std::future::pending).await;
    }
}
