//! What a worker says of itself each second.

use crate::Holdings;
use serde::{Deserialize, Serialize};
use std::{collections::HashMap, time::Duration};
use streamsync_core::{
    Amount, Identity, OperatorGrant, Protocols, Signature, Snapshot, WorkerId, config::Profile,
};
use url::Url;

/// A sign of life of a worker, with where it is and how busy.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Heartbeat {
    /// The worker.
    pub worker: WorkerId,
    /// Where routers reach it.
    pub endpoint: Url,
    /// The version of StreamSync that it runs.
    pub version: String,
    /// What it understands of what routers say.
    #[serde(default)]
    pub protocols: Protocols,
    /// How many queries it runs now.
    pub running: u32,
    /// How many queries wait for their turn there.
    pub waiting: u32,
    /// How many queries it runs at once at the most; 0 if it does not say.
    #[serde(default)]
    pub concurrency: u32,
    /// Bytes of the lake that it holds in its cache.
    pub cached_bytes: u64,
    /// The memory that it may use, in bytes.
    #[serde(default)]
    pub memory_bytes: u64,
    /// The bytes of the lake that it may keep on its disk.
    #[serde(default)]
    pub disk_bytes: u64,
    /// What it is for.
    #[serde(default)]
    pub profile: Profile,
    /// Who runs it; without one it is its own operator.
    #[serde(default)]
    pub grant: Option<OperatorGrant>,
    /// The least that it wants for a query.
    #[serde(default = "least_ask")]
    pub ask: Amount,
    /// The versions of tables that it has read last.
    #[serde(default)]
    pub versions: Snapshot,
    /// The partitions that it has read or pulled last, and so most likely has at hand.
    #[serde(default)]
    pub holdings: Holdings,
    /// How often it promises to beat, in milliseconds.
    pub interval_ms: u64,
    /// When it beat, by its own clock, in milliseconds since 1970. It only orders the beats of
    /// one worker; their age is told by Redis's clock.
    pub sent_at_ms: u64,
}

/// A heartbeat as it lies in Redis: the JSON that was signed, to the letter, and the signature.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SignedHeartbeat {
    /// A [`Heartbeat`] as JSON.
    pub payload: String,
    /// The worker's signature.
    pub signature: Signature,
}

/// Why a heartbeat is not believed.
#[derive(Debug, thiserror::Error)]
pub enum InvalidHeartbeat {
    /// It cannot be understood.
    #[error("the heartbeat of worker {worker} cannot be read")]
    Malformed {
        /// Whose it claims to be.
        worker: WorkerId,
        /// Why.
        source: serde_json::Error,
    },
    /// The operator that it names did not sign for the worker.
    #[error("worker {worker} names operator {operator}, who did not sign for it")]
    NotGranted {
        /// Whose heartbeat it is.
        worker: WorkerId,
        /// Whom it names.
        operator: WorkerId,
    },
    /// The worker under whose name it was kept did not sign it.
    #[error("the heartbeat of worker {worker} is not signed by it")]
    Forged {
        /// Whose it claims to be.
        worker: WorkerId,
    },
}

fn least_ask() -> Amount {
    Amount(1)
}

const DOMAIN: &[u8] = b"streamsync heartbeat v1";

impl Heartbeat {
    /// Signs the heartbeat.
    pub fn sign(&self, identity: &Identity) -> Result<SignedHeartbeat, serde_json::Error> {
        let payload = serde_json::to_string(self)?;
        let signature = identity.sign(&signed_bytes(&payload));
        Ok(SignedHeartbeat { payload, signature })
    }

    /// Who runs the worker.
    pub fn operator(&self) -> WorkerId {
        self.grant
            .as_ref()
            .map_or(self.worker, |grant| grant.operator)
    }

    /// The worker's weight where partitions are shared out: the GiB of its memory and disk. Held
    /// between 1 and 1,024, so that a worker cannot claim all by naming a number.
    pub fn weight(&self) -> f64 {
        let bytes = self.memory_bytes.saturating_add(self.disk_bytes);
        (bytes >> 30).clamp(1, 1_024) as f64
    }

    /// The interval, held between 100 ms and 10 s so that a worker cannot name itself alive for
    /// longer than others.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms.clamp(100, 10_000))
    }
}

impl SignedHeartbeat {
    /// The heartbeat, if the worker signed it, and if the operator that it names signed for the
    /// worker.
    pub fn verify(
        &self,
        worker: WorkerId,
        trusted: &mut TrustedGrants,
    ) -> Result<Heartbeat, InvalidHeartbeat> {
        if !worker.verifies(&signed_bytes(&self.payload), &self.signature) {
            return Err(InvalidHeartbeat::Forged { worker });
        }
        let heartbeat: Heartbeat = serde_json::from_str(&self.payload)
            .map_err(|source| InvalidHeartbeat::Malformed { worker, source })?;
        if heartbeat.worker != worker {
            return Err(InvalidHeartbeat::Forged { worker });
        }
        match &heartbeat.grant {
            Some(grant) if !trusted.trust(worker, grant) => Err(InvalidHeartbeat::NotGranted {
                worker,
                operator: grant.operator,
            }),
            _ => Ok(heartbeat),
        }
    }
}

/// Grants that were found to be genuine, so that each is checked once and not each second.
#[derive(Clone, Debug, Default)]
pub struct TrustedGrants(HashMap<WorkerId, OperatorGrant>);

impl TrustedGrants {
    fn trust(&mut self, worker: WorkerId, grant: &OperatorGrant) -> bool {
        if self.0.get(&worker) == Some(grant) {
            return true;
        }
        let genuine = grant.is_genuine(worker);
        if genuine {
            self.0.insert(worker, grant.clone());
        }
        genuine
    }
}

fn signed_bytes(payload: &str) -> Vec<u8> {
    [DOMAIN, payload.as_bytes()].concat()
}
