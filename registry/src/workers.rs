//! Which workers there are: family `worker:{id}`, its index `workers`, and `departed`.

use crate::{Health, Heartbeat, Registry, RegistryError, SignedHeartbeat, Standing, TrustedGrants};
use redis::{Script, Value, from_redis_value};
use std::{sync::LazyLock, time::Duration};
use streamsync_core::{Amount, Identity, WorkerId};

/// How long a worker's last heartbeat is kept: long enough to show that it failed.
const KEPT_FOR: Duration = Duration::from_secs(60);

static HEARTBEAT: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("heartbeat.lua")));
static DEPART: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("depart.lua")));
static CHANGES: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("changes.lua")));

/// A worker as the registry knows it.
#[derive(Clone, Debug)]
pub struct RegisteredWorker {
    /// The last heartbeat; its signature was checked.
    pub heartbeat: Heartbeat,
    /// How long ago Redis received it.
    pub age: Duration,
}

impl RegisteredWorker {
    /// The worker's state.
    pub fn health(&self) -> Health {
        Health::of(self.age, self.heartbeat.interval())
    }
}

/// What changed in the registry since some moment.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    /// The moment up to which this is complete: what the next call takes.
    pub cursor: Cursor,
    /// Workers that beat since, in the order in which they did.
    pub beats: Vec<RegisteredWorker>,
    /// Workers that took their leave since.
    pub departed: Vec<WorkerId>,
    /// Workers whose standing changed since.
    pub standings: Vec<(WorkerId, Standing)>,
    /// What a worker's operator must have at stake now; `None` where no chain is followed.
    pub minimum_stake: Option<Amount>,
}

/// A moment by Redis's clock.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Cursor(u64);

impl Registry {
    /// Registers a worker, or keeps it registered. Returns false if a later heartbeat of the same
    /// worker is known already: then another process has the same key pair.
    pub async fn beat(
        &self,
        identity: &Identity,
        heartbeat: &Heartbeat,
    ) -> Result<bool, RegistryError> {
        let SignedHeartbeat { payload, signature } = heartbeat.sign(identity)?;
        HEARTBEAT
            .key(self.worker_key(heartbeat.worker))
            .key(self.key("workers"))
            .key(self.key("departed"))
            .arg(heartbeat.worker.to_string())
            .arg(payload)
            .arg(signature.to_string())
            .arg(heartbeat.sent_at_ms)
            .arg(KEPT_FOR.as_millis() as u64)
            .invoke_async(&mut self.redis())
            .await
            .map_err(self.failed("keep the heartbeat"))
    }

    /// Forgets a worker, when it stops, and tells all routers at once.
    pub async fn deregister(&self, worker: WorkerId) -> Result<(), RegistryError> {
        DEPART
            .key(self.worker_key(worker))
            .key(self.key("workers"))
            .key(self.key("departed"))
            .arg(worker.to_string())
            .arg(KEPT_FOR.as_millis() as u64)
            .arg(self.news_channel())
            .invoke_async(&mut self.redis())
            .await
            .map_err(self.failed("deregister the worker"))
    }

    /// All workers whose heartbeats are genuine, sorted by id.
    pub async fn workers(&self) -> Result<Vec<RegisteredWorker>, RegistryError> {
        let mut trusted = TrustedGrants::default();
        let changes = self.changes(Cursor::default(), &mut trusted).await?;
        let mut workers = changes.beats;
        workers.sort_by_key(|worker| worker.heartbeat.worker);
        Ok(workers)
    }

    /// What changed since a moment; from the default cursor, all that there is. What is forged or
    /// malformed is logged and left out.
    ///
    /// A moment that Redis's clock has not come to yet, because another Redis has taken its place,
    /// counts as the default.
    pub async fn changes(
        &self,
        since: Cursor,
        trusted: &mut TrustedGrants,
    ) -> Result<Changes, RegistryError> {
        let failed = self.failed("ask for the workers");
        let parsed = |error: redis::ParsingError| failed(error.into());
        let answer: Vec<Value> = CHANGES
            .key(self.key("workers"))
            .key(self.key("departed"))
            .key(self.key("standings"))
            .key(self.key("minimum_stake"))
            .arg(self.key(""))
            .arg(since.0)
            .invoke_async(&mut self.redis())
            .await
            .map_err(&failed)?;
        let [now, beats, departed, standings, minimum] = <[Value; 5]>::try_from(answer)
            .map_err(|_| failed((redis::ErrorKind::UnexpectedReturnType, "five parts").into()))?;
        let now: u64 = from_redis_value(now).map_err(parsed)?;
        let beats: Vec<Value> = from_redis_value(beats).map_err(parsed)?;
        let departed: Vec<String> = from_redis_value(departed).map_err(parsed)?;
        let standings: Vec<(String, Standing)> = from_redis_value(standings).map_err(parsed)?;
        let minimum: Option<u64> = from_redis_value(minimum).map_err(parsed)?;
        let beats = beats
            .into_iter()
            .filter_map(|entry| believed(now, entry, trusted));
        Ok(Changes {
            // Others may still write in this very millisecond.
            cursor: Cursor(now.saturating_sub(1)),
            beats: beats.collect(),
            departed: departed.iter().filter_map(|id| id.parse().ok()).collect(),
            standings: standings
                .into_iter()
                .filter_map(|(id, standing)| Some((id.parse().ok()?, standing)))
                .collect(),
            minimum_stake: minimum.map(Amount),
        })
    }

    fn worker_key(&self, worker: WorkerId) -> String {
        self.key(&format!("worker:{worker}"))
    }
}

fn believed(now: u64, entry: Value, trusted: &mut TrustedGrants) -> Option<RegisteredWorker> {
    let (worker, payload, signature, received): (String, String, String, u64) =
        from_redis_value(entry).ok()?;
    let worker: WorkerId = worker.parse().ok()?;
    let signed = SignedHeartbeat {
        payload,
        signature: signature.parse().ok()?,
    };
    match signed.verify(worker, trusted) {
        Ok(heartbeat) => {
            let age = Duration::from_millis(now.saturating_sub(received));
            Some(RegisteredWorker { heartbeat, age })
        }
        Err(error) => {
            tracing::warn!(%worker, %error, "a registration is not believed");
            None
        }
    }
}
