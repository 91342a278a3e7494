//! Who does a job that only one process should do at a time: family `lease:{job}`.

use crate::{Registry, RegistryError};
use redis::Script;
use std::{sync::LazyLock, time::Duration};
use uuid::Uuid;

static ACQUIRE: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("lease.lua")));
static RELEASE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        "if redis.call('HGET', KEYS[1], 'holder') == ARGV[1] then \
         return redis.call('PEXPIRE', KEYS[1], 0) end return 0",
    )
});

/// A lease on a job. It is a hint, not a lock: a holder that was asleep may go on after it expired,
/// so what it does has to be safe to do twice, or to be fenced with the token.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Lease {
    /// Greater than that of every lease on the job before.
    pub token: u64,
}

impl Registry {
    /// Takes the lease on a job, or keeps it, for `time`. `None` while another holds it.
    pub async fn lease(
        &self,
        job: &str,
        holder: Uuid,
        time: Duration,
    ) -> Result<Option<Lease>, RegistryError> {
        let token: u64 = ACQUIRE
            .key(self.key(&format!("lease:{job}")))
            .key(self.key(&format!("token:{job}")))
            .arg(holder.to_string())
            .arg(time.as_millis() as u64)
            .invoke_async(&mut self.redis())
            .await
            .map_err(self.failed("take a lease"))?;
        Ok((token > 0).then_some(Lease { token }))
    }

    /// Gives a lease back, if it is still the holder's.
    pub async fn release(&self, job: &str, holder: Uuid) -> Result<(), RegistryError> {
        RELEASE
            .key(self.key(&format!("lease:{job}")))
            .arg(holder.to_string())
            .invoke_async(&mut self.redis())
            .await
            .map_err(self.failed("give a lease back"))
    }
}
