//! What a statement reaches.

use super::Columns;
use serde_json::{Map, Value as Json};
use std::collections::BTreeSet;
use streamsync_core::functions::{self, MAX_LENGTH, TABLE_FUNCTIONS};

/// Kinds of nodes that are not expressions: queries, what stands in a FROM, and what modifies a
/// query. All others are refused, whatever later versions of DuckDB add.
const NODES: [&str; 16] = [
    "SELECT_NODE",
    "SET_OPERATION_NODE",
    "RECURSIVE_CTE_NODE",
    "BASE_TABLE",
    "SUBQUERY",
    "JOIN",
    "TABLE_FUNCTION",
    "EXPRESSION_LIST",
    "EMPTY",
    "ORDER_MODIFIER",
    "LIMIT_MODIFIER",
    "DISTINCT_MODIFIER",
    "ASCENDING",
    "DESCENDING",
    "ORDER_DEFAULT",
    "CTE_NODE",
];

/// Kinds of expressions.
const EXPRESSIONS: [&str; 16] = [
    "BETWEEN",
    "CASE",
    "CAST",
    "COLUMN_REF",
    "COMPARISON",
    "CONJUNCTION",
    "CONSTANT",
    "FUNCTION",
    "LAMBDA",
    "LAMBDA_REF",
    "OPERATOR",
    "PARAMETER",
    "POSITIONAL_REFERENCE",
    "STAR",
    "SUBQUERY",
    "WINDOW",
];

/// Names of functions that DuckDB's parser makes of operators.
const OPERATORS: [&str; 44] = [
    "!",
    "!~",
    "!~*",
    "!~~",
    "!~~*",
    "#>",
    "#>>",
    "%",
    "&",
    "&&",
    "*",
    "**",
    "+",
    "-",
    "->",
    "->>",
    "/",
    "//",
    "<->",
    "<=>",
    "<<",
    "<@",
    ">>",
    "@",
    "@>",
    "^",
    "^@",
    "|",
    "||",
    "~",
    "~*",
    "~~",
    "~~*",
    "~~~",
    "row_number",
    "count_star",
    "map",
    "list_value",
    "struct_pack",
    "row",
    "array_value",
    "cume_dist",
    "ntile",
    "percent_rank",
];

/// Names that stand for a call where no column has them.
const VALUE_FUNCTIONS: [&str; 11] = [
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "localtime",
    "localtimestamp",
    "session_user",
    "user",
];

/// A name that a query does not reach, or a clause that it may not have.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutOfReach {
    /// A table that is none of the query's.
    #[error("there is no table {0}; a query reads the lake's tables and what it makes of them")]
    Table(String),
    /// A function that reaches something, or is not deterministic.
    #[error("the function {0} cannot be called; docs/API.md lists those that can")]
    Function(String),
    /// A function in the place of a table.
    #[error(
        "the function {0} cannot be called in FROM; those that can are range, generate_series \
         and unnest"
    )]
    TableFunction(String),
    /// A result that could be of any length.
    #[error(
        "the length that {0} is asked for must be a literal of at most {MAX_LENGTH}; rows of any \
         number come from {0} in FROM"
    )]
    Length(String),
    /// Part of a statement that no query has.
    #[error("{0} cannot be used in a query")]
    Clause(String),
}

/// Walks through a statement and notes what it names.
pub(super) struct Guard<'a> {
    tables: &'a BTreeSet<String>,
    /// The names of common table expressions that can be named at this place.
    scope: Vec<String>,
    /// Names of tables and their aliases: a column of such a name is a whole row.
    known_as: BTreeSet<String>,
    named: BTreeSet<String>,
    all_columns: bool,
    pub(super) bounded: bool,
}

/// Whether a star is no more than that: nothing is put into it or left out of it.
fn is_plain_star(node: &Json) -> bool {
    let mut fields = node.as_object().into_iter().flatten();
    let empty = |value: &Json| match value {
        Json::Array(list) => list.is_empty(),
        Json::Object(fields) => fields.is_empty(),
        _ => true,
    };
    node["class"] == "STAR" && fields.all(|(_, value)| empty(value))
}

/// Whether a type is computed by more than literals.
fn computes(node: &Json) -> bool {
    match node {
        Json::Array(nodes) => nodes.iter().any(computes),
        Json::Object(fields) => {
            let class = fields.get("class").and_then(Json::as_str);
            class.is_some_and(|class| !matches!(class, "CONSTANT" | "TYPE"))
                || fields.values().any(computes)
        }
        _ => false,
    }
}

/// Whether an argument is a literal that is not too large.
fn is_short(argument: &Json) -> bool {
    let literal = argument["class"] == "CONSTANT";
    let value = argument["value"]["value"].as_i64();
    literal && value.is_some_and(|value| value.unsigned_abs() <= MAX_LENGTH)
}

impl<'a> Guard<'a> {
    pub(super) fn new(tables: &'a BTreeSet<String>) -> Self {
        Self {
            tables,
            scope: Vec::new(),
            known_as: BTreeSet::new(),
            named: BTreeSet::new(),
            all_columns: false,
            bounded: true,
        }
    }

    /// The columns that the statement may need.
    pub(super) fn columns(&mut self) -> Columns {
        if self.all_columns || !self.named.is_disjoint(&self.known_as) {
            return Columns::All;
        }
        Columns::Named(std::mem::take(&mut self.named))
    }

    pub(super) fn check(&mut self, node: &Json) -> Result<(), OutOfReach> {
        match node {
            Json::Array(nodes) => nodes.iter().try_for_each(|node| self.check(node)),
            Json::Object(fields) => self.check_object(fields),
            _ => Ok(()),
        }
    }

    fn check_object(&mut self, fields: &Map<String, Json>) -> Result<(), OutOfReach> {
        let text = |name: &str| fields.get(name).and_then(Json::as_str);
        let outer = self.scope.len();
        match (text("class"), text("type")) {
            (Some(class), _) => self.check_expression(class, fields)?,
            (None, Some(kind)) => self.check_node(kind, fields)?,
            // A list of orders, a value, the type of a cast.
            (None, None) => {}
        }
        for clause in ["sample", "at_clause"] {
            if fields.get(clause).is_some_and(|value| !value.is_null()) {
                return Err(OutOfReach::Clause(format!("the clause {clause}")));
            }
        }
        if let Some(ctes) = fields.get("cte_map").and_then(|map| map["map"].as_array()) {
            for cte in ctes {
                self.check_cte(cte)?;
            }
        }
        let constant = text("class") == Some("CONSTANT");
        for (name, value) in fields {
            // Data, not parts of a statement: a constant may look like anything.
            let data = name == "cast_type" || (constant && name == "value");
            if name == "cast_type" && computes(value) {
                return Err(OutOfReach::Clause("a computed type".to_owned()));
            }
            if name != "cte_map" && !data {
                self.check_field(name, value)?;
            }
        }
        self.scope.truncate(outer);
        Ok(())
    }

    /// A common table expression can be named by those after it, and by itself if it is recursive.
    fn check_cte(&mut self, cte: &Json) -> Result<(), OutOfReach> {
        let name = cte["key"].as_str().unwrap_or_default().to_ascii_lowercase();
        let query = &cte["value"];
        let recursive = query["query"]["node"]["type"] == "RECURSIVE_CTE_NODE";
        if recursive {
            self.scope.push(name.clone());
        }
        // Columns can be renamed, and are then known by neither name.
        self.all_columns |= query["aliases"]
            .as_array()
            .is_some_and(|all| !all.is_empty());
        self.check(query)?;
        if !recursive {
            self.scope.push(name);
        }
        Ok(())
    }

    fn check_field(&mut self, name: &str, value: &Json) -> Result<(), OutOfReach> {
        // In FROM a function makes its rows one after the other, and can be stopped.
        if name == "function" {
            return self.check(&value["children"]);
        }
        // ORDER BY ALL is a star, but names no column that the query does not select anyhow.
        let order_by_all = name == "expression" && is_plain_star(value);
        if order_by_all {
            Ok(())
        } else {
            self.check(value)
        }
    }

    fn check_node(&mut self, kind: &str, fields: &Map<String, Json>) -> Result<(), OutOfReach> {
        if !NODES.contains(&kind) {
            return Err(OutOfReach::Clause(
                kind.to_ascii_lowercase().replace('_', " "),
            ));
        }
        let text = |name: &str| fields.get(name).and_then(Json::as_str).unwrap_or_default();
        let lists_any = |name: &str| {
            let list = fields.get(name).and_then(Json::as_array);
            list.is_some_and(|list| !list.is_empty())
        };
        for alias in [text("alias"), text("table_name")] {
            if !alias.is_empty() {
                self.known_as.insert(alias.to_ascii_lowercase());
            }
        }
        self.all_columns |= lists_any("column_name_alias");
        match kind {
            "BASE_TABLE" => self.check_table(&[
                text("catalog_name"),
                text("schema_name"),
                text("table_name"),
            ])?,
            "TABLE_FUNCTION" => {
                self.bounded = false;
                let name = &fields.get("function").unwrap_or(&Json::Null)["function_name"];
                let name = name.as_str().unwrap_or_default().to_ascii_lowercase();
                if !TABLE_FUNCTIONS.contains(&name.as_str()) {
                    return Err(OutOfReach::TableFunction(name));
                }
            }
            "RECURSIVE_CTE_NODE" => self.bounded = false,
            "JOIN" => {
                if text("ref_type") == "POSITIONAL" {
                    return Err(OutOfReach::Clause("a positional join".to_owned()));
                }
                self.all_columns |= text("ref_type") == "NATURAL";
                let using = fields.get("using_columns").and_then(Json::as_array);
                let using = using.into_iter().flatten().filter_map(Json::as_str);
                self.named.extend(using.map(str::to_ascii_lowercase));
            }
            _ => {}
        }
        Ok(())
    }

    fn check_table(&self, name: &[&str; 3]) -> Result<(), OutOfReach> {
        let table = name[2].to_ascii_lowercase();
        let plain = name[0].is_empty() && name[1].is_empty();
        if plain && (self.scope.contains(&table) || self.tables.contains(&table)) {
            return Ok(());
        }
        let parts: Vec<&str> = name
            .iter()
            .filter(|part| !part.is_empty())
            .copied()
            .collect();
        Err(OutOfReach::Table(parts.join(".")))
    }

    fn check_expression(
        &mut self,
        class: &str,
        fields: &Map<String, Json>,
    ) -> Result<(), OutOfReach> {
        if !EXPRESSIONS.contains(&class) {
            return Err(OutOfReach::Clause(
                class.to_ascii_lowercase().replace('_', " "),
            ));
        }
        let text = |name: &str| fields.get(name).and_then(Json::as_str).unwrap_or_default();
        match class {
            "STAR" | "POSITIONAL_REFERENCE" => self.all_columns = true,
            "COLUMN_REF" => {
                let names = fields.get("column_names").and_then(Json::as_array);
                let names = names.map_or(&[][..], Vec::as_slice);
                let names: Vec<String> = names
                    .iter()
                    .filter_map(|name| Some(name.as_str()?.to_ascii_lowercase()))
                    .collect();
                match names.as_slice() {
                    [one] if VALUE_FUNCTIONS.contains(&one.as_str()) => {
                        return Err(OutOfReach::Function(one.clone()));
                    }
                    // `alias.column`, or a field of a column: the alias is not a row here.
                    [first, rest @ ..] if !rest.is_empty() => {
                        if !self.known_as.contains(first) {
                            self.named.insert(first.clone());
                        }
                        self.named.extend(rest.iter().cloned());
                    }
                    _ => self.named.extend(names),
                }
            }
            "FUNCTION" | "WINDOW" => {
                let name = text("function_name").to_ascii_lowercase();
                let schema = text("schema");
                let qualified =
                    !text("catalog").is_empty() || !(schema.is_empty() || schema == "main");
                let known = functions::is_allowed(&name)
                    || OPERATORS.contains(&name.as_str())
                    || TABLE_FUNCTIONS.contains(&name.as_str());
                if qualified || !known {
                    return Err(OutOfReach::Function(name));
                }
                let arguments = fields.get("children").and_then(Json::as_array);
                let arguments = arguments.map_or(&[][..], Vec::as_slice);
                let lengths = functions::arguments_of_length(&name);
                let mut lengths = lengths.filter_map(|at| arguments.get(at));
                if !lengths.all(is_short) {
                    return Err(OutOfReach::Length(name));
                }
            }
            _ => {}
        }
        Ok(())
    }
}
