//! What administrators do: keys and credit, each act with its entry in the log.

use rand::Rng;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::collections::BTreeSet;
use streamsync_access::{KeySecret, MasterSecrets};
use streamsync_core::{Amount, ApiKey, ClientId, KeyId, Limits, Scope, clock::SharedClock};
use streamsync_registry::{Act, DepositRefused, Registry, RegistryError};

/// How often a change is tried again when somebody else changed the same key meanwhile.
const ATTEMPTS: usize = 5;
/// For how long the old secret of a key that is rotated holds at the most, in seconds: 30 days.
const LONGEST_OVERLAP_S: u64 = 30 * 24 * 3_600;

/// Why an act was not done.
#[derive(Debug, thiserror::Error)]
pub enum AdministrationError {
    /// There is no such key.
    #[error("there is no API key {0}")]
    UnknownKey(KeyId),
    /// The key was revoked.
    #[error("the API key {0} was revoked; make another")]
    Revoked(KeyId),
    /// Without a scope a key is good for nothing.
    #[error("a key needs at least one scope: query, operate or admin")]
    NoScope,
    /// The old secret may not live so long.
    #[error(
        "the old secret may hold for {LONGEST_OVERLAP_S} s at the most, and {0} s are asked for"
    )]
    Overlap(u64),
    /// Others change the same key at the same time.
    #[error("the API key {0} is being changed by somebody else; try again")]
    Contended(KeyId),
    /// The secret cannot be derived.
    #[error("there is no master secret to derive the key's secret from")]
    NoMaster,
    /// Credit was not added.
    #[error(transparent)]
    Deposit(#[from] DepositRefused),
    /// Redis did not do it.
    #[error(transparent)]
    Registry(#[from] RegistryError),
}

/// Who does it, and from where.
#[derive(Clone, Debug)]
pub struct Actor {
    /// The name of an API key, or `user@host`.
    pub name: String,
    /// An address, or `command`.
    pub from: String,
}

/// A key with a secret that is shown now and never again.
#[derive(Debug)]
pub struct Issued {
    /// The key.
    pub key: ApiKey,
    /// Its new secret.
    pub secret: KeySecret,
}

/// What a new key should be.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// Who pays.
    pub client: ClientId,
    /// What it may be used for.
    pub scopes: BTreeSet<Scope>,
    /// How much.
    #[serde(default)]
    pub limits: Limits,
}

/// Keys and credit, for those who may change them.
pub struct Administration {
    registry: Registry,
    masters: MasterSecrets,
    clock: SharedClock,
}

impl Administration {
    /// For routers and commands that have the master secrets.
    pub fn new(registry: Registry, masters: MasterSecrets, clock: SharedClock) -> Self {
        Self {
            registry,
            masters,
            clock,
        }
    }

    fn act(&self, actor: &Actor, action: &str, subject: &str, detail: serde_json::Value) -> Act {
        Act {
            at_ms: self.clock.unix_millis(),
            actor: actor.name.clone(),
            from: actor.from.clone(),
            action: action.to_owned(),
            subject: subject.to_owned(),
            detail,
        }
    }

    fn salt(&self) -> streamsync_core::Salt {
        #[allow(clippy::disallowed_methods)]
        self.masters.salt(rand::rng().random())
    }

    /// Makes a key.
    pub async fn create_key(
        &self,
        new: NewKey,
        actor: &Actor,
    ) -> Result<Issued, AdministrationError> {
        if new.scopes.is_empty() {
            return Err(AdministrationError::NoScope);
        }
        let salt = self.salt();
        #[allow(clippy::disallowed_methods)]
        let id = KeyId::new(rand::rng().random());
        let secret = self
            .masters
            .secret(&id, &salt)
            .ok_or(AdministrationError::NoMaster)?;
        let detail = json!({ "client": new.client, "scopes": new.scopes, "limits": new.limits });
        let key = ApiKey {
            id,
            client: new.client,
            scopes: new.scopes,
            limits: new.limits,
            salts: vec![salt],
            created_ms: self.clock.unix_millis(),
            revoked_ms: None,
        };
        let act = self.act(actor, "create-key", key.id.as_str(), detail);
        if !self.registry.put_key(None, &key, &act).await? {
            return Err(AdministrationError::Contended(key.id));
        }
        Ok(Issued { key, secret })
    }

    /// Gives a key a new secret; the one before holds for so many seconds still, and any older one
    /// no more.
    pub async fn rotate_key(
        &self,
        id: &KeyId,
        overlap_s: u64,
        actor: &Actor,
    ) -> Result<Issued, AdministrationError> {
        if overlap_s > LONGEST_OVERLAP_S {
            return Err(AdministrationError::Overlap(overlap_s));
        }
        let salt = self.salt();
        let secret = self
            .masters
            .secret(id, &salt)
            .ok_or(AdministrationError::NoMaster)?;
        let until_ms = self.clock.unix_millis() + overlap_s * 1_000;
        let detail = json!({ "old_secret_until_ms": until_ms });
        let key = self
            .change(id, "rotate-key", detail, actor, |key| {
                key.salts.truncate(1);
                for old in &mut key.salts {
                    old.until_ms = Some(until_ms);
                }
                key.salts.insert(0, salt.clone());
            })
            .await?;
        Ok(Issued { key, secret })
    }

    /// Sets the limits of a key.
    pub async fn limit_key(
        &self,
        id: &KeyId,
        limits: Limits,
        actor: &Actor,
    ) -> Result<ApiKey, AdministrationError> {
        let detail = json!({ "limits": limits });
        self.change(id, "limit-key", detail, actor, |key| key.limits = limits)
            .await
    }

    /// Revokes a key, for ever.
    pub async fn revoke_key(
        &self,
        id: &KeyId,
        actor: &Actor,
    ) -> Result<ApiKey, AdministrationError> {
        let now = self.clock.unix_millis();
        self.change(id, "revoke-key", json!({}), actor, |key| {
            key.revoked_ms = Some(now)
        })
        .await
    }

    async fn change(
        &self,
        id: &KeyId,
        action: &str,
        detail: serde_json::Value,
        actor: &Actor,
        change: impl Fn(&mut ApiKey),
    ) -> Result<ApiKey, AdministrationError> {
        let act = self.act(actor, action, id.as_str(), detail);
        for _ in 0..ATTEMPTS {
            let before = self.registry.api_key(id).await?;
            let before = before.ok_or_else(|| AdministrationError::UnknownKey(id.clone()))?;
            if before.revoked_ms.is_some() {
                return Err(AdministrationError::Revoked(id.clone()));
            }
            let mut after = before.clone();
            change(&mut after);
            if self.registry.put_key(Some(&before), &after, &act).await? {
                return Ok(after);
            }
        }
        Err(AdministrationError::Contended(id.clone()))
    }

    /// Adds credit to a client. A deposit of the same name is added once; then this returns false.
    /// Payments on chain or by card come in through here too, under the names that they have there.
    pub async fn add_credit(
        &self,
        client: &ClientId,
        amount: Amount,
        name: &str,
        actor: &Actor,
    ) -> Result<bool, AdministrationError> {
        let detail = json!({ "amount": amount, "deposit": name });
        let act = self.act(actor, "add-credit", client.as_str(), detail);
        Ok(self.registry.deposit(client, amount, name, &act).await?)
    }
}
