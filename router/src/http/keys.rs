//! `POST /v1/keys`, `GET /v1/keys`, and what can be done to one of them.

use super::{
    Served,
    access::{Administers, Allowed, Kind},
    error::Failure,
};
use crate::{Actor, Administration, Issued, NewKey};
use axum::{
    Json,
    extract::{Path, State},
    http::StatusCode,
};
use serde::Deserialize;
use serde_json::{Value, json};
use std::sync::Arc;
use streamsync_core::{ApiKey, KeyId, Limits};

/// For how long the old secret holds if nothing else is asked for, in seconds: a day.
const OVERLAP_S: u64 = 24 * 3_600;

pub(super) fn administration(served: &Served) -> Result<Administration, Failure> {
    let accounts = served.router.accounts().ok_or_else(Failure::no_accounts)?;
    let masters = accounts.callers().masters().clone();
    let clock = Arc::clone(served.router.clock());
    Ok(Administration::new(served.registry.clone(), masters, clock))
}

pub(super) fn actor<T: Kind>(allowed: &Allowed<T>) -> Result<Actor, Failure> {
    Ok(Actor {
        name: allowed.named()?.key.to_string(),
        from: allowed.caller.address.to_string(),
    })
}

fn key_id(text: &str) -> Result<KeyId, Failure> {
    text.parse().map_err(|_| Failure::no_key(text))
}

/// A key as it is shown: without what its secrets are derived from.
fn shown(key: &ApiKey) -> Value {
    json!({
        "key": key.id,
        "client": key.client,
        "scopes": key.scopes,
        "limits": key.limits,
        "created_ms": key.created_ms,
        "revoked_ms": key.revoked_ms,
        "secrets": key.salts.iter().map(|salt| json!({ "until_ms": salt.until_ms })).collect::<Vec<_>>(),
    })
}

fn issued(issued: &Issued) -> Value {
    let mut shown = shown(&issued.key);
    shown["secret"] = json!(issued.secret.expose());
    shown
}

pub(super) async fn create(
    State(served): State<Served>,
    allowed: Allowed<Administers>,
) -> Result<(StatusCode, Json<Value>), Failure> {
    let new: NewKey = allowed.json()?;
    let made = administration(&served)?
        .create_key(new, &actor(&allowed)?)
        .await?;
    Ok((StatusCode::CREATED, Json(issued(&made))))
}

pub(super) async fn list(
    State(served): State<Served>,
    _allowed: Allowed<Administers>,
) -> Result<Json<Value>, Failure> {
    let keys = served.registry.api_keys().await?;
    Ok(Json(
        json!({ "keys": keys.iter().map(shown).collect::<Vec<_>>() }),
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    #[serde(default = "overlap")]
    overlap_s: u64,
}

fn overlap() -> u64 {
    OVERLAP_S
}

pub(super) async fn rotate(
    State(served): State<Served>,
    Path(id): Path<String>,
    allowed: Allowed<Administers>,
) -> Result<Json<Value>, Failure> {
    let rotation = if allowed.body.is_empty() {
        Rotation {
            overlap_s: OVERLAP_S,
        }
    } else {
        allowed.json()?
    };
    let administration = administration(&served)?;
    let made = administration
        .rotate_key(&key_id(&id)?, rotation.overlap_s, &actor(&allowed)?)
        .await?;
    Ok(Json(issued(&made)))
}

pub(super) async fn limit(
    State(served): State<Served>,
    Path(id): Path<String>,
    allowed: Allowed<Administers>,
) -> Result<Json<Value>, Failure> {
    let limits: Limits = allowed.json()?;
    let key = administration(&served)?
        .limit_key(&key_id(&id)?, limits, &actor(&allowed)?)
        .await?;
    Ok(Json(shown(&key)))
}

pub(super) async fn revoke(
    State(served): State<Served>,
    Path(id): Path<String>,
    allowed: Allowed<Administers>,
) -> Result<Json<Value>, Failure> {
    let key = administration(&served)?
        .revoke_key(&key_id(&id)?, &actor(&allowed)?)
        .await?;
    Ok(Json(shown(&key)))
}
