//! `GET /v1/admin-log`: what administrators did lately. All of it is in the table `admin_log`.

use super::{
    access::{Allowed, Operates},
    error::Failure,
};
use axum::{Json, extract::State};
use serde_json::{Value, json};
use streamsync_registry::Registry;

/// How many acts are sent.
const NEWEST: usize = 1_000;

pub(super) async fn show(
    State(registry): State<Registry>,
    _allowed: Allowed<Operates>,
) -> Result<Json<Value>, Failure> {
    Ok(Json(json!({ "acts": registry.newest_acts(NEWEST).await? })))
}
