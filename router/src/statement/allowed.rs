//! What a statement may name: tables, functions, clauses.

use super::{Position, Refused};
use crate::Catalog;
use sqlparser::ast::{
    Distinct, Expr, Function, FunctionArgumentClause, FunctionArguments, Ident, LimitClause,
    ObjectName, Query, Select, SetExpr, Spanned, TableFactor, Value, ValueWithSpan, Visit, Visitor,
    WindowType,
};
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    ops::ControlFlow::{self, Break, Continue},
};
use streamsync_core::{
    Parameter, TableName,
    functions::{self, TABLE_FUNCTIONS},
};

/// Aggregates whose answer depends on the order in which they meet rows.
const ORDER_DEPENDENT: [&str; 17] = [
    "first",
    "last",
    "any_value",
    "arbitrary",
    "list",
    "array_agg",
    "string_agg",
    "group_concat",
    "listagg",
    "arg_min",
    "arg_max",
    "argmin",
    "argmax",
    "min_by",
    "max_by",
    "arg_min_null",
    "arg_max_null",
];

/// Window functions whose answer depends on the order of rows in the window.
const ORDERED_WINDOW: [&str; 7] = [
    "row_number",
    "ntile",
    "lag",
    "lead",
    "first_value",
    "last_value",
    "nth_value",
];

/// What a statement names.
#[derive(Default)]
pub(super) struct Found {
    /// Tables of the lake, and how often each is named.
    pub(super) references: BTreeMap<TableName, usize>,
    pub(super) placeholders: Placeholders,
}

/// The placeholders of a statement.
#[derive(Default)]
pub(super) struct Placeholders {
    numbered: BTreeSet<usize>,
    unnumbered: usize,
}

impl Placeholders {
    pub(super) fn are_unnumbered(&self) -> bool {
        self.unnumbered > 0
    }

    pub(super) fn check(&self, parameters: &[Parameter]) -> Result<(), Refused> {
        let given = parameters.len();
        if self.unnumbered > 0 && !self.numbered.is_empty() {
            let message = "placeholders are either all `?` or all `$1`, `$2`, …";
            return Err(Refused::Parameters(message.to_owned()));
        }
        let wanted = self.unnumbered.max(self.numbered.len());
        let missing = (1..=self.numbered.len()).find(|number| !self.numbered.contains(number));
        match missing {
            Some(number) => Err(Refused::Parameters(format!(
                "there is no placeholder ${number}"
            ))),
            None if wanted == given => Ok(()),
            None => Err(Refused::Parameters(format!(
                "the statement has {wanted} placeholders, and {given} parameters are given"
            ))),
        }
    }
}

/// Checks all that a statement names.
pub(super) fn check(query: &Query, catalog: &Catalog) -> Result<Found, Refused> {
    let mut names = CteNames(HashSet::new());
    let _: ControlFlow<()> = query.visit(&mut names);
    let mut check = Check {
        catalog,
        ctes: names.0,
        found: Found::default(),
    };
    match query.visit(&mut check) {
        Break(refused) => Err(refused),
        Continue(()) => Ok(check.found),
    }
}

struct CteNames(HashSet<String>);

impl Visitor for CteNames {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.0
            .extend(ctes.map(|cte| cte.alias.name.value.to_lowercase()));
        Continue(())
    }
}

struct Check<'a> {
    catalog: &'a Catalog,
    ctes: HashSet<String>,
    found: Found,
}

fn clause<T>(what: &str, why: &'static str, position: Option<Position>) -> ControlFlow<Refused, T> {
    Break(Refused::Clause {
        what: what.to_owned(),
        why,
        position,
    })
}

const READ_ONLY: &str = "a query is one SELECT, which changes nothing";
const OTHER_DIALECT: &str = "DuckDB's SQL does not have it";
const CHANCE: &str = "which rows it picks is left to chance; choose them with WHERE";

impl Visitor for Check<'_> {
    type Break = Refused;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Refused> {
        for cte in query.with.iter().flat_map(|with| &with.cte_tables) {
            let name = &cte.alias.name;
            if self.catalog.contains(&name.value.to_lowercase()) {
                let why = "a table of the lake has that name; choose another";
                let what = format!("the name `{}` for a part of WITH", name.value);
                return clause(&what, why, Position::of(name.span));
            }
        }
        if !query.locks.is_empty() {
            return clause("FOR UPDATE", READ_ONLY, None);
        }
        let foreign = query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty()
            || query.fetch.is_some();
        if foreign {
            return clause(
                "a clause after the SELECT",
                OTHER_DIALECT,
                Position::of(query.span()),
            );
        }
        if let Some(LimitClause::LimitOffset { limit_by, .. }) = &query.limit_clause
            && !limit_by.is_empty()
        {
            return clause("LIMIT BY", OTHER_DIALECT, None);
        }
        match query.body.as_ref() {
            SetExpr::Insert(_) | SetExpr::Update(_) | SetExpr::Delete(_) | SetExpr::Merge(_) => {
                clause("a change of data", READ_ONLY, None)
            }
            SetExpr::Table(_) => clause("TABLE", "write SELECT * FROM", None),
            _ => Continue(()),
        }
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Refused> {
        if select.into.is_some() {
            return clause("INTO", READ_ONLY, None);
        }
        let foreign = select.top.is_some()
            || !select.lateral_views.is_empty()
            || select.prewhere.is_some()
            || !select.connect_by.is_empty()
            || !select.cluster_by.is_empty()
            || !select.distribute_by.is_empty()
            || !select.sort_by.is_empty();
        if foreign {
            return clause(
                "a clause of the SELECT",
                OTHER_DIALECT,
                Position::of(select.span()),
            );
        }
        if let Some(Distinct::On(_)) = select.distinct {
            return Break(Refused::OrderDependent {
                what: "DISTINCT ON".to_owned(),
                advice: "use GROUP BY with min and max, or row_number() OVER (… ORDER BY …)",
                position: Position::of(select.span()),
            });
        }
        Continue(())
    }

    fn pre_visit_table_factor(&mut self, factor: &TableFactor) -> ControlFlow<Refused> {
        match factor {
            TableFactor::Table {
                name,
                args,
                sample,
                version,
                json_path,
                ..
            } => {
                if sample.is_some() {
                    return clause("TABLESAMPLE", CHANCE, Position::of(name.span()));
                }
                if version.is_some() || json_path.is_some() {
                    let why = "every query reads the snapshot that the router pins";
                    return clause("a table's version", why, Position::of(name.span()));
                }
                if args.is_some() {
                    table_function(name)
                } else {
                    self.table(name)
                }
            }
            TableFactor::Derived { sample, .. } => {
                if sample.is_some() {
                    return clause("TABLESAMPLE", CHANCE, None);
                }
                Continue(())
            }
            TableFactor::Function { name, .. } => table_function(name),
            TableFactor::NestedJoin { .. } | TableFactor::UNNEST { .. } => Continue(()),
            other => clause(
                "this part of FROM",
                "write it as a SELECT with GROUP BY or CASE",
                Position::of(other.span()),
            ),
        }
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<Refused> {
        match expr {
            Expr::Function(function) => check_function(function),
            Expr::AtTimeZone { .. } => {
                let why = "all times are in UTC";
                clause("AT TIME ZONE", why, Position::of(expr.span()))
            }
            _ => Continue(()),
        }
    }

    fn pre_visit_value(&mut self, value: &ValueWithSpan) -> ControlFlow<Refused> {
        let Value::Placeholder(name) = &value.value else {
            return Continue(());
        };
        let placeholders = &mut self.found.placeholders;
        match name.strip_prefix('$').map(str::parse::<usize>) {
            Some(Ok(number)) if (1..=1_000).contains(&number) => {
                placeholders.numbered.insert(number);
            }
            None if name == "?" => placeholders.unnumbered += 1,
            _ => {
                let message = format!("`{name}` is not a placeholder; write $1, $2, … or ?");
                return Break(Refused::Parameters(message));
            }
        }
        Continue(())
    }
}

impl Check<'_> {
    fn table(&mut self, name: &ObjectName) -> ControlFlow<Refused> {
        let position = Position::of(name.span());
        let unknown = |hint: String| {
            let name = name.to_string();
            Break(Refused::UnknownTable {
                name,
                hint,
                position,
            })
        };
        let Some(ident) = single(name) else {
            return unknown("; name a table of the lake without a schema".to_owned());
        };
        let lower = ident.value.to_lowercase();
        if ident.quote_style == Some('\'') {
            return unknown("; files cannot be read, only tables of the lake".to_owned());
        }
        if self.ctes.contains(&lower) {
            return Continue(());
        }
        match self.catalog.name(&lower) {
            Some(table) => {
                *self.found.references.entry(table.clone()).or_default() += 1;
                Continue(())
            }
            None => unknown(self.catalog.suggestion(&lower)),
        }
    }
}

fn single(name: &ObjectName) -> Option<&Ident> {
    match name.0.as_slice() {
        [part] => part.as_ident(),
        _ => None,
    }
}

fn table_function(name: &ObjectName) -> ControlFlow<Refused> {
    let allowed = single(name)
        .is_some_and(|ident| TABLE_FUNCTIONS.contains(&ident.value.to_lowercase().as_str()));
    if allowed {
        Continue(())
    } else {
        not_allowed(name)
    }
}

fn not_allowed(name: &ObjectName) -> ControlFlow<Refused> {
    Break(Refused::Function {
        name: name.to_string(),
        position: Position::of(name.span()),
    })
}

fn check_function(function: &Function) -> ControlFlow<Refused> {
    let name = match single(&function.name) {
        Some(ident) => ident.value.to_lowercase(),
        None => return not_allowed(&function.name),
    };
    if !functions::is_allowed(&name) {
        return not_allowed(&function.name);
    }
    let position = Position::of(function.name.span());
    let windowed = match &function.over {
        None => None,
        Some(WindowType::WindowSpec(window)) => Some(!window.order_by.is_empty()),
        // A window with a name was checked for its order nowhere.
        Some(WindowType::NamedWindow(_)) => Some(false),
    };
    let needs_window_order = ORDERED_WINDOW.contains(&name.as_str())
        || (windowed.is_some() && ORDER_DEPENDENT.contains(&name.as_str()));
    if needs_window_order && windowed != Some(true) {
        let advice = "write ORDER BY inside OVER (…)";
        return Break(Refused::OrderDependent {
            what: format!("`{name}`"),
            advice,
            position,
        });
    }
    if ORDER_DEPENDENT.contains(&name.as_str()) && windowed.is_none() && !has_order(function) {
        let advice = "write ORDER BY inside its parentheses, by columns that leave no ties";
        return Break(Refused::OrderDependent {
            what: format!("`{name}`"),
            advice,
            position,
        });
    }
    Continue(())
}

fn has_order(function: &Function) -> bool {
    let FunctionArguments::List(list) = &function.args else {
        return false;
    };
    !function.within_group.is_empty()
        || list
            .clauses
            .iter()
            .any(|clause| matches!(clause, FunctionArgumentClause::OrderBy(by) if !by.is_empty()))
}
