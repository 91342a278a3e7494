//! Statements that DuckDB plans once, whatever the values of their parameters.

use crate::parameter;
use arrow::datatypes::{DataType, SchemaRef};
use duckdb::Connection;
use serde_json::{Value as Json, json};
use streamsync_core::Parameter;

/// The statement with a function of the session in the place of each placeholder; see
/// [`parameter`]. `None` where a placeholder must stay: one that is not compared with a column of
/// its own type might mean something else as a function.
pub(crate) fn planned_once(
    connection: &Connection,
    ast: &Json,
    session: u64,
    parameters: &[Parameter],
    tables: &[SchemaRef],
) -> Option<String> {
    let mut ast = ast.clone();
    let places = Placeholders {
        session,
        parameters,
        tables,
    };
    places.replace(&mut ast);
    if holds_placeholder(&ast) {
        return None;
    }
    let text = connection.query_row(
        "SELECT json_deserialize_sql(CAST($1 AS JSON))",
        [ast.to_string()],
        |row| row.get::<_, String>(0),
    );
    // What DuckDB does not write is planned each time.
    text.ok()
}

struct Placeholders<'a> {
    session: u64,
    parameters: &'a [Parameter],
    tables: &'a [SchemaRef],
}

impl Placeholders<'_> {
    fn replace(&self, node: &mut Json) {
        match node {
            Json::Array(nodes) => nodes.iter_mut().for_each(|node| self.replace(node)),
            Json::Object(fields) => {
                let class = fields.get("class").and_then(Json::as_str);
                let kind = fields.get("type").and_then(Json::as_str);
                match (class, kind) {
                    (Some("COMPARISON"), _) => {
                        self.replace_beside(fields, "left", "right");
                        self.replace_beside(fields, "right", "left");
                    }
                    (Some("BETWEEN"), _) => {
                        self.replace_beside(fields, "input", "lower");
                        self.replace_beside(fields, "input", "upper");
                    }
                    (Some("OPERATOR"), Some("COMPARE_IN" | "COMPARE_NOT_IN")) => {
                        self.replace_in_list(fields.get_mut("children"));
                    }
                    _ => {}
                }
                fields.values_mut().for_each(|node| self.replace(node));
            }
            _ => {}
        }
    }

    fn replace_beside(&self, fields: &mut serde_json::Map<String, Json>, column: &str, at: &str) {
        let Some(data_type) = fields.get(column).and_then(|node| self.column_type(node)) else {
            return;
        };
        if let Some(node) = fields.get_mut(at) {
            self.replace_one(node, &data_type);
        }
    }

    fn replace_in_list(&self, children: Option<&mut Json>) {
        let children = children.and_then(Json::as_array_mut);
        if let Some([column, values @ ..]) = children.map(Vec::as_mut_slice)
            && let Some(data_type) = self.column_type(column)
        {
            for value in values {
                self.replace_one(value, &data_type);
            }
        }
    }

    fn replace_one(&self, node: &mut Json, data_type: &DataType) {
        let call = placeholder(node).and_then(|number| {
            let value = self.parameters.get(number.checked_sub(1)?)?;
            let same_kind = match value {
                Parameter::Text(_) => *data_type == DataType::Utf8,
                Parameter::Integer(_) => data_type.is_integer(),
                _ => false,
            };
            let name = parameter::function(self.session, value).filter(|_| same_kind)?;
            Some(function_call(&name, number))
        });
        if let Some(call) = call {
            *node = call;
        }
    }

    /// The type of the column that the node names, if all tables that have one of that name agree.
    fn column_type(&self, node: &Json) -> Option<DataType> {
        if node["class"] != "COLUMN_REF" {
            return None;
        }
        let name = node["column_names"].as_array()?.last()?.as_str()?;
        let fields = self.tables.iter().flat_map(|schema| schema.fields());
        let mut named = fields.filter(|field| field.name().eq_ignore_ascii_case(name));
        let first = named.next()?.data_type();
        named
            .all(|field| field.data_type() == first)
            .then(|| first.clone())
    }
}

fn placeholder(node: &Json) -> Option<usize> {
    match node["class"].as_str() {
        Some("PARAMETER") => node["identifier"].as_str()?.parse().ok(),
        _ => None,
    }
}

fn holds_placeholder(node: &Json) -> bool {
    match node {
        Json::Array(nodes) => nodes.iter().any(holds_placeholder),
        Json::Object(fields) => {
            fields
                .get("class")
                .is_some_and(|class| class == "PARAMETER")
                || fields.values().any(holds_placeholder)
        }
        _ => false,
    }
}

/// A call as DuckDB writes it.
fn function_call(name: &str, argument: usize) -> Json {
    let argument = json!({
        "class": "CONSTANT",
        "type": "VALUE_CONSTANT",
        "alias": "",
        "query_location": 0,
        "value": {
            "type": {"id": "BIGINT", "type_info": null},
            "is_null": false,
            "value": argument,
        },
    });
    json!({
        "class": "FUNCTION",
        "type": "FUNCTION",
        "alias": "",
        "query_location": 0,
        "function_name": name,
        "schema": "",
        "children": [argument],
        "filter": null,
        "order_bys": {"type": "ORDER_MODIFIER", "orders": []},
        "distinct": false,
        "is_operator": false,
        "export_state": false,
        "catalog": "",
    })
}
