//! `GET /v1/credit`, `GET /v1/credit/{client}` and `POST /v1/credit/{client}`.

use super::{
    Served,
    access::{Administers, Allowed, Operates, Reads},
    error::Failure,
    keys::{actor, administration},
};
use axum::{
    Json,
    extract::{Path, State},
};
use serde::Deserialize;
use serde_json::{Value, json};
use streamsync_core::{Amount, ClientId};
use streamsync_registry::Registry;

async fn balance(registry: &Registry, client: &ClientId) -> Result<Json<Value>, Failure> {
    let mut shown = json!(registry.balance(client).await?);
    shown["client"] = json!(client);
    Ok(Json(shown))
}

fn client_id(text: &str) -> Result<ClientId, Failure> {
    text.parse().map_err(|error| Failure::no_client(&error))
}

pub(super) async fn own(
    State(registry): State<Registry>,
    allowed: Allowed<Reads>,
) -> Result<Json<Value>, Failure> {
    balance(&registry, &allowed.named()?.client).await
}

pub(super) async fn of(
    State(registry): State<Registry>,
    Path(client): Path<String>,
    _allowed: Allowed<Operates>,
) -> Result<Json<Value>, Failure> {
    balance(&registry, &client_id(&client)?).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deposit {
    amount: Amount,
    deposit: String,
}

/// How long the name of a deposit may be.
const LONGEST_NAME: usize = 128;

pub(super) async fn add(
    State(served): State<Served>,
    Path(client): Path<String>,
    allowed: Allowed<Administers>,
) -> Result<Json<Value>, Failure> {
    let client = client_id(&client)?;
    let Deposit { amount, deposit } = allowed.json()?;
    if deposit.is_empty() || deposit.len() > LONGEST_NAME {
        return Err(Failure::deposit_name(LONGEST_NAME));
    }
    let administration = administration(&served)?;
    let added = administration
        .add_credit(&client, amount, &deposit, &actor(&allowed)?)
        .await?;
    let Json(mut shown) = balance(&served.registry, &client).await?;
    shown["added"] = json!(added);
    Ok(Json(shown))
}
