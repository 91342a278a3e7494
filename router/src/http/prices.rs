//! `GET /v1/prices`: what queries cost now, and did.

use super::{
    access::{Allowed, Reads},
    error::Failure,
};
use crate::Router;
use axum::{Json, extract::State};
use serde_json::{Map, Value, json};
use streamsync_core::Class;
use streamsync_registry::{Multipliers, Registry};

/// How many past prices are sent: an hour of them, one each five seconds.
const PAST: usize = 720;

fn by_class(of: impl Fn(Class) -> Value) -> Value {
    let entries = Class::ALL
        .into_iter()
        .map(|class| (class.name().to_owned(), of(class)));
    Value::Object(entries.collect::<Map<_, _>>())
}

fn plain(multipliers: &Multipliers) -> Value {
    by_class(|class| json!(multipliers.0[class.index()] as f64 / 1e6))
}

pub(super) async fn show(
    State(router): State<Router>,
    State(registry): State<Registry>,
    _allowed: Allowed<Reads>,
) -> Result<Json<Value>, Failure> {
    let market = router.market();
    let roster = router.fleet().roster();
    let racers = router.race_config().racers;
    let now = by_class(|class| {
        let price = market.price(class, 0, &roster, racers);
        json!({
            "least": price.price,
            "base": price.base,
            "per_gib": market.config().class(class).per_gib,
            "multiplier": price.multiplier as f64 / 1e6,
            "asked": price.asked,
            "utilisation": roster.utilisation(class),
        })
    });
    let past = registry.past_multipliers(PAST).await?;
    let past: Vec<Value> = past
        .iter()
        .map(|past| json!({ "at_ms": past.at_ms, "multipliers": plain(&past.multipliers) }))
        .collect();
    Ok(Json(json!({ "now": now, "history": past })))
}
