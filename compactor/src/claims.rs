//! Sharing work with other compactors.
//!
//! A claim keeps two compactors from doing the same work, and no more than that: one that was
//! suspended may go on after its claim ran out. What makes that harmless is Delta's commit, which is
//! refused once a file that it replaces is gone; it is the fence that a token would be elsewhere.

use std::time::Duration;
use streamsync_registry::{Registry, RegistryError};
use tokio::time::MissedTickBehavior;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use uuid::Uuid;

/// What a compactor asks before it begins.
#[derive(Clone)]
pub enum Claims {
    /// Nobody: no other compactor is on this lake, or its work is not worth sparing.
    Alone,
    /// Redis, with leases.
    Shared {
        /// The registry.
        registry: Registry,
        /// This compactor.
        holder: Uuid,
        /// For how long a claim holds when its holder is gone.
        time: Duration,
    },
}

/// A job that this compactor has, until it is given back.
pub(crate) struct Claim {
    /// Cancelled when somebody else has got the job.
    pub(crate) lost: CancellationToken,
    job: String,
    claims: Claims,
    _keeping: Option<AbortOnDropHandle<()>>,
}

impl Claims {
    /// Claims a job; `None` while another compactor has it.
    pub(crate) async fn claim(&self, job: &str) -> Result<Option<Claim>, RegistryError> {
        let lost = CancellationToken::new();
        let keeping = match self {
            Self::Alone => None,
            Self::Shared {
                registry,
                holder,
                time,
            } => {
                if registry.lease(job, *holder, *time).await?.is_none() {
                    return Ok(None);
                }
                let keeping = keep(
                    registry.clone(),
                    job.to_owned(),
                    *holder,
                    *time,
                    lost.clone(),
                );
                Some(AbortOnDropHandle::new(tokio::spawn(keeping)))
            }
        };
        Ok(Some(Claim {
            lost,
            job: job.to_owned(),
            claims: self.clone(),
            _keeping: keeping,
        }))
    }
}

async fn keep(
    registry: Registry,
    job: String,
    holder: Uuid,
    time: Duration,
    lost: CancellationToken,
) {
    let mut turns = tokio::time::interval(time / 3);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    turns.tick().await;
    loop {
        turns.tick().await;
        match registry.lease(&job, holder, time).await {
            Ok(Some(_)) => {}
            Ok(None) => return lost.cancel(),
            // Redis may be back before the claim runs out; and if not, the commit decides.
            Err(error) => tracing::warn!(job, cause = %error, "could not keep a claim"),
        }
    }
}

impl Claim {
    /// Gives the job back. Without it, it comes free when the lease runs out.
    pub(crate) async fn release(self) {
        let Claims::Shared {
            registry, holder, ..
        } = &self.claims
        else {
            return;
        };
        if let Err(error) = registry.release(&self.job, *holder).await {
            tracing::warn!(job = self.job, cause = %error, "could not give a claim back");
        }
    }
}
