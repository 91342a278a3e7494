//! Making the order of rows total, so that every worker picks and orders the same rows.
//!
//! `LIMIT` without `ORDER BY` picks any rows, and `ORDER BY` leaves ties in any order. Both get the
//! columns of the answer as tie-breakers: rows that are equal in all of them look the same.

use super::{Position, Refused};
use sqlparser::ast::{
    Distinct, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList,
    FunctionArguments, GroupByExpr, Ident, ObjectName, OrderBy, OrderByExpr, OrderByKind,
    OrderByOptions, Query, Select, SelectItem, SetExpr, Spanned, Value, VisitorMut,
};
use std::ops::ControlFlow::{self, Break, Continue};

/// Orders every part of a statement that has a `LIMIT`.
pub(super) struct Totally;

impl VisitorMut for Totally {
    type Break = Refused;

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<Refused> {
        if query.limit_clause.is_none() {
            return Continue(());
        }
        match order(query) {
            Ok(()) => Continue(()),
            Err(refused) => Break(refused),
        }
    }
}

/// Orders the whole answer, if the statement asks for an order. Returns whether it does.
pub(super) fn order_whole(query: &mut Query) -> Result<bool, Refused> {
    if query.order_by.is_none() {
        return Ok(false);
    }
    if query.limit_clause.is_none() {
        order(query)?;
    }
    Ok(true)
}

fn order(query: &mut Query) -> Result<(), Refused> {
    let Some(by) = &mut query.order_by else {
        let kind = OrderByKind::All(OrderByOptions::default());
        query.order_by = Some(OrderBy {
            kind,
            interpolate: None,
        });
        return Ok(());
    };
    if let OrderByKind::Expressions(columns) = &mut by.kind {
        let ties = tie_breakers(&query.body)?;
        columns.extend(ties.into_iter().map(|expr| OrderByExpr {
            expr,
            options: OrderByOptions::default(),
            with_fill: None,
        }));
    }
    Ok(())
}

fn tie_breakers(body: &SetExpr) -> Result<Vec<Expr>, Refused> {
    match body {
        SetExpr::Query(query) => tie_breakers(&query.body),
        SetExpr::SetOperation { left, .. } => match tie_breakers(left)? {
            ties if ties.iter().all(is_ordinal) => Ok(ties),
            _ => Err(needs_columns(Position::of(body.span()))),
        },
        SetExpr::Values(values) => Ok(ordinals(
            values.rows.first().map_or(0, |row| row.content.len()),
        )),
        SetExpr::Select(select) => of_select(select),
        _ => Err(needs_columns(Position::of(body.span()))),
    }
}

fn of_select(select: &Select) -> Result<Vec<Expr>, Refused> {
    let unknown_number = select.projection.is_empty() || select.projection.iter().any(expands);
    if !unknown_number {
        return Ok(ordinals(select.projection.len()));
    }
    let grouped = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(by, _) => !by.is_empty(),
    };
    if grouped || matches!(select.distinct, Some(Distinct::Distinct)) {
        return Err(needs_columns(Position::of(select.span())));
    }
    // `COLUMNS(*)` in ORDER BY stands for all columns of FROM.
    Ok(vec![all_columns()])
}

fn expands(item: &SelectItem) -> bool {
    match item {
        SelectItem::UnnamedExpr(expr) | SelectItem::ExprWithAlias { expr, .. } => {
            let text = expr.to_string().to_lowercase();
            text.contains("columns(") || text.contains("unnest(")
        }
        _ => true,
    }
}

fn needs_columns(position: Option<Position>) -> Refused {
    Refused::OrderDependent {
        what: "ORDER BY with `*`".to_owned(),
        advice: "name the columns instead of `*`, or write ORDER BY ALL",
        position,
    }
}

fn ordinals(count: usize) -> Vec<Expr> {
    (1..=count)
        .map(|number| Expr::value(Value::Number(number.to_string(), false)))
        .collect()
}

fn is_ordinal(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(_))
}

fn all_columns() -> Expr {
    let star = FunctionArg::Unnamed(FunctionArgExpr::Wildcard);
    Expr::Function(Function {
        name: ObjectName::from(vec![Ident::new("COLUMNS")]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList {
            duplicate_treatment: None,
            args: vec![star],
            clauses: vec![],
        }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: vec![],
    })
}
