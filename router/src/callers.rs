//! Who asks: the keys of clients, and whether a request is signed by one.

use crate::{
    limits::{Admitted, KeyUsage, Limited},
    nonces::{Claimed, Nonces, Replayed},
};
use moka::future::Cache;
use std::{net::IpAddr, sync::Arc, time::Duration};
use streamsync_access::{KeySecret, MasterSecrets, Message, SignatureError, SignatureInput};
use streamsync_core::{ApiKey, ClientId, KeyId, Scope, clock::SharedClock};
use streamsync_registry::{Registry, RegistryError};

/// How many keys are kept at hand.
const KEPT: u64 = 100_000;
/// How long it is remembered that there is no such key.
const UNKNOWN_FOR: Duration = Duration::from_secs(2);

/// Why a request is refused.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// It is not signed as it should be.
    #[error(transparent)]
    Signature(#[from] SignatureError),
    /// There is no such key.
    #[error("there is no API key {0}")]
    UnknownKey(KeyId),
    /// The key was revoked.
    #[error("the API key {0} was revoked")]
    Revoked(KeyId),
    /// The key may not do that.
    #[error("the API key {key} has not the scope `{scope}`")]
    Scope {
        /// Which key.
        key: KeyId,
        /// What it would need.
        scope: Scope,
    },
    /// The router does not have the master secret that the key's secret is derived from.
    #[error(
        "this router cannot check the API key {0}: it was made with a master secret that is not in auth.master_secrets"
    )]
    OtherMaster(KeyId),
    /// The request was taken before.
    #[error(transparent)]
    Replayed(#[from] Replayed),
    /// The key was used as much as it may be.
    #[error(transparent)]
    Limited(#[from] Limited),
    /// The key is not known here, and Redis cannot be asked.
    #[error("the registry cannot be asked for the API key")]
    Registry(#[source] Arc<RegistryError>),
}

/// Who asks.
pub(crate) struct Caller {
    /// The client and the key; `None` where nobody is asked who he is.
    pub(crate) named: Option<Named>,
    /// From where.
    pub(crate) address: IpAddr,
    /// When the last byte of the request had come, by the router's clock.
    pub(crate) received_at: Duration,
    /// Whether the request is new; to be awaited before it is answered.
    pub(crate) claimed: Claimed,
    /// That the key may be used.
    pub(crate) admitted: Admitted,
}

/// A client that has shown who he is.
#[derive(Clone, Debug)]
pub(crate) struct Named {
    pub(crate) client: ClientId,
    pub(crate) key: KeyId,
}

/// A key with its secrets, with until when each holds.
#[derive(Clone)]
struct Known {
    key: Arc<ApiKey>,
    secrets: Arc<[(KeySecret, Option<u64>)]>,
}

/// The keys. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Callers(Arc<Inner>);

struct Inner {
    masters: MasterSecrets,
    registry: Registry,
    keys: Cache<KeyId, Option<Known>>,
    nonces: Nonces,
    usage: KeyUsage,
    clock: SharedClock,
}

/// There is no key: forgotten soon. A key: kept until it changes.
struct Forgetting;

impl moka::Expiry<KeyId, Option<Known>> for Forgetting {
    fn expire_after_create(
        &self,
        _key: &KeyId,
        known: &Option<Known>,
        _created_at: std::time::Instant,
    ) -> Option<Duration> {
        known.is_none().then_some(UNKNOWN_FOR)
    }
}

impl Callers {
    pub(crate) fn new(masters: MasterSecrets, registry: Registry, clock: SharedClock) -> Self {
        Self(Arc::new(Inner {
            masters,
            keys: Cache::builder()
                .max_capacity(KEPT)
                .expire_after(Forgetting)
                .build(),
            nonces: Nonces::new(Arc::clone(&clock), registry.clone()),
            usage: KeyUsage::new(Arc::clone(&clock)),
            registry,
            clock,
        }))
    }

    pub(crate) fn masters(&self) -> &MasterSecrets {
        &self.0.masters
    }

    pub(crate) fn usage(&self) -> &KeyUsage {
        &self.0.usage
    }

    /// Checks a request: its signature, that its key may do that, and that it may do so now.
    pub(crate) async fn check(
        &self,
        message: Message<'_>,
        body: &[u8],
        address: IpAddr,
        received_at: Duration,
        scope: Scope,
    ) -> Result<Caller, AccessError> {
        let input = SignatureInput::parse(message.headers)?;
        let id = input.key();
        let known = self.known(id).await?;
        let Some(Known { key, secrets }) = known else {
            return Err(AccessError::UnknownKey(id.clone()));
        };
        if secrets.is_empty() {
            return Err(AccessError::OtherMaster(id.clone()));
        }
        let now_ms = self.0.clock.unix_millis();
        let live: Vec<KeySecret> = secrets
            .iter()
            .filter(|(_, until)| until.is_none_or(|until| now_ms < until))
            .map(|(secret, _)| secret.clone())
            .collect();
        input.verify(message, body, now_ms / 1_000, &live)?;
        // Only who could sign with it learns what became of the key.
        if key.revoked_ms.is_some() {
            return Err(AccessError::Revoked(id.clone()));
        }
        if !key.scopes.contains(&scope) {
            return Err(AccessError::Scope {
                key: id.clone(),
                scope,
            });
        }
        let claimed = self.0.nonces.claim(id, input.nonce())?;
        let admitted = self.0.usage.admit(id, &key.limits)?;
        Ok(Caller {
            named: Some(Named {
                client: key.client.clone(),
                key: id.clone(),
            }),
            address,
            received_at,
            claimed,
            admitted,
        })
    }

    async fn known(&self, id: &KeyId) -> Result<Option<Known>, AccessError> {
        let load = async {
            let key = self.0.registry.api_key(id).await?;
            Ok::<_, RegistryError>(key.map(|key| self.with_secrets(key)))
        };
        self.0
            .keys
            .try_get_with_by_ref(id, load)
            .await
            .map_err(AccessError::Registry)
    }

    fn with_secrets(&self, key: ApiKey) -> Known {
        let secrets = key
            .salts
            .iter()
            .filter_map(|salt| Some((self.0.masters.secret(&key.id, salt)?, salt.until_ms)));
        Known {
            secrets: secrets.collect(),
            key: Arc::new(key),
        }
    }

    /// Learns a key anew when it is used next.
    pub(crate) async fn forget(&self, id: &KeyId) {
        self.0.keys.invalidate(id).await;
    }
}
