//! `GET /v1/queries/{id}/audit`.

use super::{
    access::{Allowed, Reads},
    error::Failure,
};
use axum::{
    Json,
    extract::{Path, State},
};
use streamsync_core::QueryId;
use streamsync_registry::{Audit, Registry};

pub(super) async fn show(
    State(registry): State<Registry>,
    Path(id): Path<String>,
    _allowed: Allowed<Reads>,
) -> Result<Json<Audit>, Failure> {
    let query: QueryId = id.parse().map_err(|_| Failure::no_audit(&id))?;
    let audit = registry.audit(query).await?;
    audit.map(Json).ok_or_else(|| Failure::no_audit(&id))
}
