//! How much keys may be used, over all routers together.
//!
//! Each router counts what it lets through, and ten times a second tells Redis, which says how much
//! more it may until it tells again. What was let through and what routers still may is never more
//! than the limit; a request that one router refuses while another has something left to let through
//! can come in a tenth of a second later.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use streamsync_core::{KeyId, Limits, WorkerId, clock::SharedClock};
use streamsync_registry::{Registry, RegistryError, Usage, UsageTotals};

const MINUTE: Duration = Duration::from_secs(60);
/// How often Redis is told.
pub(crate) const TELL_EVERY: Duration = Duration::from_millis(100);
/// When to come back where nothing better is known.
const SOON: Duration = Duration::from_secs(1);
/// After how long without a request a key is forgotten here.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(120);

/// A key was used as much as it may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the key's limit of {limit} {what} is reached; come back in {} s", .retry_after.as_secs())]
pub struct Limited {
    /// Of what: `requests`, `concurrent`, `rows`, `bytes`.
    pub policy: &'static str,
    /// The same in words.
    pub what: &'static str,
    /// How many there may be.
    pub limit: u64,
    /// When there may be more.
    pub retry_after: Duration,
}

/// What is left of a limit, for the header `RateLimit`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Remaining {
    /// Requests a minute.
    pub limit: u64,
    /// How many are left of them.
    pub left: u64,
    /// Until the minute is over.
    pub resets_in: Duration,
}

/// The usage of keys. Cheap to clone.
#[derive(Clone)]
pub(crate) struct KeyUsage(Arc<Inner>);

struct Inner {
    keys: Mutex<HashMap<KeyId, Use>>,
    routers: AtomicU64,
    clock: SharedClock,
}

#[derive(Default)]
struct Use {
    limits: Limits,
    /// What all let through this minute, when Redis was told last.
    known: Usage,
    /// When the minute is over.
    ends_at: Duration,
    /// What this router let through since.
    since: Usage,
    /// How many more requests it may let through.
    requests: u64,
    /// What is under way here, and how much may be.
    running: u64,
    may_run: u64,
    used_at: Duration,
}

/// A request that was let through. It runs until this is dropped.
pub(crate) struct Admitted {
    usage: Option<(KeyUsage, KeyId)>,
    remaining: Option<Remaining>,
}

impl Admitted {
    /// One that nobody counts.
    pub(crate) fn uncounted() -> Self {
        Self {
            usage: None,
            remaining: None,
        }
    }

    /// What is left to the key, if it has a limit of requests.
    pub(crate) fn remaining(&self) -> Option<Remaining> {
        self.remaining
    }

    /// Counts the answer.
    pub(crate) fn answered(&self, rows: u64, bytes: u64) {
        if let Some((usage, key)) = &self.usage
            && let Some(used) = usage.keys().get_mut(key)
        {
            used.since.rows += rows;
            used.since.bytes += bytes;
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some((usage, key)) = &self.usage
            && let Some(used) = usage.keys().get_mut(key)
        {
            used.running = used.running.saturating_sub(1);
        }
    }
}

impl KeyUsage {
    pub(crate) fn new(clock: SharedClock) -> Self {
        Self(Arc::new(Inner {
            keys: Mutex::default(),
            routers: AtomicU64::new(1),
            clock,
        }))
    }

    fn keys(&self) -> MutexGuard<'_, HashMap<KeyId, Use>> {
        self.0.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets a request of a key through, if its limits allow.
    pub(crate) fn admit(&self, key: &KeyId, limits: &Limits) -> Result<Admitted, Limited> {
        if *limits == Limits::default() {
            return Ok(Admitted::uncounted());
        }
        let now = self.0.clock.monotonic();
        let routers = self.0.routers.load(Ordering::Relaxed).max(1);
        let mut keys = self.keys();
        let used = keys.entry(key.clone()).or_default();
        used.begin_minute(now, limits, routers);
        used.used_at = now;
        let resets_in = used.ends_at.saturating_sub(now);
        let limited = |policy, what, limit, retry_after| Limited {
            policy,
            what,
            limit,
            retry_after,
        };
        if let Some(limit) = limits.requests_per_minute
            && used.requests == 0
        {
            // What others may let through and do not comes back soon.
            let spent = used.known.requests + used.since.requests >= limit;
            let retry_after = if spent { resets_in } else { SOON };
            return Err(limited("requests", "requests a minute", limit, retry_after));
        }
        if let Some(limit) = limits.concurrent
            && used.running >= used.may_run
        {
            return Err(limited(
                "concurrent",
                "queries at the same time",
                limit,
                SOON,
            ));
        }
        let words = [
            (
                "rows",
                "rows a minute",
                limits.rows_per_minute,
                used.known.rows + used.since.rows,
            ),
            (
                "bytes",
                "bytes a minute",
                limits.bytes_per_minute,
                used.known.bytes + used.since.bytes,
            ),
        ];
        for (policy, what, limit, so_far) in words {
            if let Some(limit) = limit.filter(|limit| so_far >= *limit) {
                return Err(limited(policy, what, limit, resets_in));
            }
        }
        used.since.requests += 1;
        used.requests = used.requests.saturating_sub(1);
        used.running += 1;
        let remaining = limits.requests_per_minute.map(|limit| Remaining {
            limit,
            left: limit.saturating_sub(used.known.requests + used.since.requests),
            resets_in,
        });
        Ok(Admitted {
            usage: Some((self.clone(), key.clone())),
            remaining,
        })
    }

    /// Tells Redis what was let through, and learns what others did.
    pub(crate) async fn tell(
        &self,
        registry: &Registry,
        router: WorkerId,
    ) -> Result<(), RegistryError> {
        let now = self.0.clock.monotonic();
        let routers = self.0.routers.load(Ordering::Relaxed).max(1);
        let told: Vec<(KeyId, Usage, Limits)> = {
            let mut keys = self.keys();
            keys.retain(|_, used| {
                used.running > 0 || now.saturating_sub(used.used_at) < FORGOTTEN_AFTER
            });
            let recent = keys.iter_mut().filter(|(_, used)| {
                used.running > 0 || now.saturating_sub(used.used_at) < 20 * TELL_EVERY
            });
            recent
                .map(|(key, used)| {
                    let limits = used.limits;
                    used.begin_minute(now, &limits, routers);
                    let usage = Usage {
                        concurrent: used.running,
                        ..used.since
                    };
                    (key.clone(), usage, limits)
                })
                .collect()
        };
        if told.is_empty() {
            return Ok(());
        }
        let totals = registry.add_usage(router, routers, &told).await?;
        let now = self.0.clock.monotonic();
        let mut keys = self.keys();
        for ((key, usage, _), totals) in told.iter().zip(totals) {
            if let Some(used) = keys.get_mut(key) {
                used.heard(*usage, totals, now);
            }
        }
        Ok(())
    }

    /// Says how many routers there are.
    pub(crate) fn set_routers(&self, routers: u64) {
        self.0.routers.store(routers.max(1), Ordering::Relaxed);
    }
}

impl Use {
    /// Begins a minute when the one before is over. Until Redis was told, a quarter of this router's
    /// part may be used.
    fn begin_minute(&mut self, now: Duration, limits: &Limits, routers: u64) {
        if now >= self.ends_at || self.limits != *limits {
            self.limits = *limits;
            self.known = Usage::default();
            self.since = Usage::default();
            let part = |limit: Option<u64>| limit.unwrap_or_default().div_ceil(4 * routers);
            self.requests = part(limits.requests_per_minute);
            self.may_run = self.running + part(limits.concurrent);
            // Redis says better when the minute is over.
            self.ends_at = now + MINUTE;
        }
    }

    fn heard(&mut self, told: Usage, totals: UsageTotals, now: Duration) {
        self.known = totals.used;
        self.ends_at = now + totals.left;
        self.since.requests = self.since.requests.saturating_sub(told.requests);
        self.since.rows = self.since.rows.saturating_sub(told.rows);
        self.since.bytes = self.since.bytes.saturating_sub(told.bytes);
        // What was let through since it told is of what it may from now on.
        self.requests = totals.requests.saturating_sub(self.since.requests);
        self.may_run = told.concurrent + totals.begins;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use streamsync_core::clock::{Clock, ManualClock};

    fn limits(requests: u64) -> Limits {
        Limits {
            requests_per_minute: Some(requests),
            ..Limits::default()
        }
    }

    /// Three routers, and Redis's script by hand (`usage.lua`, which has its own test): who lets
    /// through how many of an even or an uneven load.
    fn let_through(limit: u64, load: [u64; 3], rounds: u64) -> u64 {
        let clock = Arc::new(ManualClock::at(1));
        let routers = [0; 3].map(|_| KeyUsage::new(clock.clone()));
        let key = KeyId::new([1; 16]);
        let (mut sum, mut may, mut passed) = (0, [0; 3], 0);
        for _ in 0..rounds {
            for (router, count) in routers.iter().zip(load) {
                router.set_routers(3);
                for _ in 0..count {
                    passed += u64::from(router.admit(&key, &limits(limit)).is_ok());
                }
            }
            for place in 0..3 {
                let mut keys = routers[place].keys();
                let Some(used) = keys.get_mut(&key) else {
                    continue;
                };
                let told = Usage {
                    concurrent: 0,
                    ..used.since
                };
                sum += told.requests;
                may[place] = 0;
                let promised: u64 = may.iter().sum();
                may[place] = limit.saturating_sub(sum + promised).div_ceil(3);
                let totals = UsageTotals {
                    used: Usage {
                        requests: sum,
                        ..Usage::default()
                    },
                    left: MINUTE,
                    requests: may[place],
                    begins: 0,
                };
                used.heard(told, totals, clock.monotonic());
            }
            clock.advance(TELL_EVERY);
        }
        passed
    }

    #[test]
    fn three_routers_keep_one_limit_within_a_tenth() {
        for (limit, load) in [
            (600, [50, 50, 50]),
            (600, [150, 0, 0]),
            (100, [40, 3, 1]),
            (1_000, [7, 400, 30]),
            (30, [9, 9, 9]),
        ] {
            let passed = let_through(limit, load, 100);
            let error = passed.abs_diff(limit) as f64 / limit as f64;
            assert!(error <= 0.1, "{passed} of {limit} with {load:?}");
            assert!(passed <= limit + 3, "{passed} of {limit} with {load:?}");
        }
    }

    #[test]
    fn each_limit_is_named_and_ends() {
        let clock = Arc::new(ManualClock::at(1));
        let usage = KeyUsage::new(clock.clone());
        let key = KeyId::new([1; 16]);
        let all = Limits {
            requests_per_minute: Some(12),
            concurrent: Some(4),
            rows_per_minute: Some(10),
            bytes_per_minute: Some(100),
        };
        let policy = || usage.admit(&key, &all).err().map(|limited| limited.policy);
        let first = usage.admit(&key, &all).unwrap();
        assert_eq!(first.remaining().map(|remaining| remaining.left), Some(11));
        assert_eq!(policy(), Some("concurrent"));
        first.answered(10, 0);
        drop(first);
        assert_eq!(policy(), Some("rows"));
        clock.advance(MINUTE);
        let next = usage.admit(&key, &all).unwrap();
        next.answered(1, 100);
        drop(next);
        assert_eq!(policy(), Some("bytes"));
        clock.advance(MINUTE);
        for _ in 0..3 {
            drop(usage.admit(&key, &all).unwrap());
        }
        assert_eq!(policy(), Some("requests"));
        let free = usage
            .admit(&KeyId::new([2; 16]), &Limits::default())
            .unwrap();
        assert_eq!(free.remaining(), None);
    }
}
