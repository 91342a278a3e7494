//! `GET /v1/tables` and `GET /v1/tables/{name}`.

use super::{
    access::{Allowed, Reads},
    error::Failure,
};
use crate::{Catalog, Router};
use axum::{
    Json,
    extract::{Path, State},
};
use serde_json::{Value as Json_, json};
use streamsync_lake::{Table, tables};

pub(super) async fn list(State(router): State<Router>, _allowed: Allowed<Reads>) -> Json<Json_> {
    let catalog = router.catalog();
    let tables: Vec<_> = catalog
        .tables()
        .map(|table| summary(&catalog, table))
        .collect();
    Json(json!({ "tables": tables }))
}

pub(super) async fn show(
    State(router): State<Router>,
    Path(name): Path<String>,
    _allowed: Allowed<Reads>,
) -> Result<Json<Json_>, Failure> {
    let catalog = router.catalog();
    let table = catalog
        .table(&name)
        .ok_or_else(|| Failure::no_table(&name, &catalog.suggestion(&name)))?;
    let files = table.files().await.map_err(|error| Failure::lake(&error))?;
    let schema = table.schema();
    let columns: Vec<_> = schema
        .fields()
        .iter()
        .map(|field| {
            let (name, data_type) = (field.name(), field.data_type().to_string());
            json!({ "name": name, "type": data_type, "nullable": field.is_nullable() })
        })
        .collect();
    let mut shown = summary(&catalog, table);
    shown["columns"] = json!(columns);
    shown["files"] = json!(files.len());
    shown["bytes"] = json!(files.iter().map(|file| file.size).sum::<u64>());
    shown["rows"] = json!(files.iter().map(|file| file.rows).sum::<Option<u64>>());
    if let Some(definition) = tables::definition(&name) {
        shown["sorted_by"] = json!(definition.sort_by);
    }
    Ok(Json(shown))
}

fn summary(catalog: &Catalog, table: &Table) -> Json_ {
    if let Some(state) = catalog.rollup(table.name()) {
        return json!({
            "name": table.name(),
            "version": table.version(),
            "description": format!("rollup {} by {}", state.rollup, state.level),
            "partitioned_by": table.partition_columns(),
            "rollup": state.rollup,
            "level": state.level,
        });
    }
    let name = table.name().as_str();
    let description = tables::definition(name).map(|definition| definition.description);
    json!({
        "name": name,
        "version": table.version(),
        "description": description,
        "partitioned_by": table.partition_columns(),
    })
}
