//! Word of new versions of tables, on its way from the bucket to everybody who wants to know.

use rand::Rng;
use std::{error::Error, time::Duration};
use streamsync_bucket::Notifications;
use streamsync_registry::Registry;
use streamsync_router::Router;
use tokio_util::sync::CancellationToken;

/// How long is waited after the queue could not be asked: doubled each time, up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Listens to the queue until told to stop. This router looks at the lake at once, and all others and
/// the workers are told by way of Redis. That the queue is away is logged once: the lake is polled.
pub async fn heed(
    notifications: Notifications,
    router: Router,
    registry: Registry,
    stop: CancellationToken,
) {
    let mut pause = SHORTEST_PAUSE;
    loop {
        let next = stop.run_until_cancelled(notifications.next()).await;
        match next {
            None => return,
            Some(Ok(new)) => {
                pause = SHORTEST_PAUSE;
                if new {
                    router.look();
                    // Where Redis is away, others poll, and the watch says so.
                    let _away = registry.tell_of_lake().await;
                }
            }
            Some(Err(error)) => {
                if pause == SHORTEST_PAUSE {
                    let error = &error as &dyn Error;
                    tracing::warn!(error, "no word of new versions; the lake is polled");
                }
                #[allow(clippy::disallowed_methods)]
                let jitter = rand::rng().random_range(0.5..1.0);
                let waiting = tokio::time::sleep(pause.mul_f64(jitter));
                stop.run_until_cancelled(waiting).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
}
