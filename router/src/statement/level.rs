//! Which level of a rollup answers a statement.
//!
//! A statement names a rollup as if it were a table. Its answer is what the finest level gives; a
//! coarser one has fewer rows, and is taken where it gives the very same. That is where a `SELECT`
//! of the rollup alone adds figures up, and looks at the time only by `date_trunc` to no less than
//! the level, or compares it with a beginning of the level's times: then whole times fall into each
//! group. Whatever is not understood is answered from the finest level.

use super::Refused;
use crate::Catalog;
use arrow::{
    compute::kernels::cast_utils::Parser,
    datatypes::{Date32Type, TimestampMicrosecondType},
};
use sqlparser::ast::{
    BinaryOperator, Distinct, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentClause,
    FunctionArgumentList, FunctionArguments, GroupByExpr, Ident, ObjectName, ObjectNamePart,
    OrderByKind, Query, Select, SelectItem, SetExpr, TableAlias, TableFactor, TableWithJoins,
    TypedString, Value, Visit, VisitMut, Visitor, VisitorMut,
};
use std::{
    collections::{BTreeMap, HashSet},
    ops::ControlFlow::{self, Break, Continue},
};
use streamsync_core::{
    Level, Parameter, Recorded, RollupState, TableName, config::MeasureFunction,
};

/// Microseconds in a day.
const DAY: i64 = 86_400_000_000;
/// The level that is fine enough for everything.
const FINEST: Level = Level::Minute;

/// Puts a table in the place of every rollup that the statement names, and tells which.
pub(super) fn choose(
    query: &mut Query,
    catalog: &Catalog,
    forced: Option<Level>,
    parameters: &[Parameter],
) -> Result<BTreeMap<TableName, Level>, Refused> {
    let mut names = Names::default();
    let _: ControlFlow<()> = Visit::visit(query, &mut names);
    let mut choosing = Choosing {
        catalog,
        forced,
        parameters,
        ctes: names.ctes,
        chosen: BTreeMap::new(),
    };
    if let Break(refused) = Visit::visit(query, &mut choosing) {
        return Err(refused);
    }
    if let Some(level) = forced.filter(|_| choosing.chosen.is_empty()) {
        return Err(Refused::NoRollup { level });
    }
    let Choosing { ctes, chosen, .. } = choosing;
    let mut putting = Putting {
        catalog,
        ctes,
        chosen,
    };
    let _: ControlFlow<()> = VisitMut::visit(query, &mut putting);
    Ok(putting.chosen)
}

#[derive(Default)]
struct Names {
    ctes: HashSet<String>,
}

impl Visitor for Names {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        let ctes = query.with.iter().flat_map(|with| &with.cte_tables);
        self.ctes
            .extend(ctes.map(|cte| cte.alias.name.value.to_lowercase()));
        Continue(())
    }
}

/// The rollup that a part of `FROM` names.
fn rollup_of(factor: &TableFactor, catalog: &Catalog, ctes: &HashSet<String>) -> Option<String> {
    let TableFactor::Table {
        name, args: None, ..
    } = factor
    else {
        return None;
    };
    let [part] = name.0.as_slice() else {
        return None;
    };
    let name = part.as_ident()?.value.to_lowercase();
    let is_other = catalog.contains(&name) || ctes.contains(&name);
    (!is_other && !catalog.levels(&name).is_empty()).then_some(name)
}

struct Choosing<'a> {
    catalog: &'a Catalog,
    forced: Option<Level>,
    parameters: &'a [Parameter],
    ctes: HashSet<String>,
    chosen: BTreeMap<TableName, Level>,
}

impl Choosing<'_> {
    /// Takes the finest of all levels that parts of the statement are answered from.
    fn take(&mut self, rollup: &str, coarsest: Level) -> Result<(), Refused> {
        let levels = self.catalog.levels(rollup);
        let level = match self.forced {
            Some(level) if levels.contains_key(&level) => level,
            Some(level) => {
                return Err(Refused::NoLevel {
                    rollup: rollup.to_owned(),
                    level,
                    levels: listed(&levels),
                });
            }
            None => coarsest_up_to_date(&levels, coarsest, self.catalog),
        };
        if let Some((_, state)) = levels.values().next() {
            let taken = self.chosen.entry(state.rollup.clone()).or_insert(level);
            *taken = level.min(*taken);
        }
        Ok(())
    }
}

fn listed(levels: &BTreeMap<Level, (&TableName, &RollupState)>) -> String {
    let names = levels.keys().map(|level| level.name());
    names.collect::<Vec<_>>().join(", ")
}

/// The coarsest level that holds all that the finer ones hold, and is not too coarse.
fn coarsest_up_to_date(
    levels: &BTreeMap<Level, (&TableName, &RollupState)>,
    coarsest: Level,
    catalog: &Catalog,
) -> Level {
    let mut taken = coarsest;
    let mut finer: Option<&TableName> = None;
    for (level, (table, state)) in levels {
        let is_behind = finer.is_some_and(|finer| {
            let version = catalog.table(finer.as_str()).map(|table| table.version());
            state.sources.get(finer).copied() != version
        });
        if finer.is_some() && (is_behind || *level > coarsest) {
            break;
        }
        taken = *level;
        finer = Some(table);
    }
    taken
}

impl Visitor for Choosing<'_> {
    type Break = Refused;

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<Refused> {
        if let SetExpr::Select(select) = query.body.as_ref()
            && !orders_by_columns(query)
        {
            for rollup in self.rollups(select) {
                if let Err(refused) = self.take(&rollup, FINEST) {
                    return Break(refused);
                }
            }
        }
        Continue(())
    }

    fn pre_visit_select(&mut self, select: &Select) -> ControlFlow<Refused> {
        for rollup in self.rollups(select) {
            let coarsest = self.coarsest(select, &rollup);
            if let Err(refused) = self.take(&rollup, coarsest) {
                return Break(refused);
            }
        }
        Continue(())
    }
}

/// Whether rows are ordered by columns of the answer alone, which other levels have too.
fn orders_by_columns(query: &Query) -> bool {
    let Some(order) = &query.order_by else {
        return true;
    };
    match &order.kind {
        OrderByKind::All(_) => true,
        OrderByKind::Expressions(columns) => columns
            .iter()
            .all(|column| matches!(column.expr, Expr::Value(_) | Expr::Identifier(_))),
    }
}

impl Choosing<'_> {
    /// The rollups in the `FROM` of a `SELECT`.
    fn rollups(&self, select: &Select) -> Vec<String> {
        let factors = select.from.iter().flat_map(|from| {
            let joined = from.joins.iter().map(|join| &join.relation);
            std::iter::once(&from.relation).chain(joined)
        });
        let rollups = factors.filter_map(|factor| rollup_of(factor, self.catalog, &self.ctes));
        rollups.collect()
    }

    /// The coarsest level that gives what the finest one gives.
    fn coarsest(&self, select: &Select, rollup: &str) -> Level {
        let [TableWithJoins { relation, joins }] = select.from.as_slice() else {
            return FINEST;
        };
        let levels = self.catalog.levels(rollup);
        let Some((_, state)) = levels.values().next() else {
            return FINEST;
        };
        let TableFactor::Table { alias, .. } = relation else {
            return FINEST;
        };
        if !joins.is_empty()
            || alias
                .as_ref()
                .is_some_and(|alias| !alias.columns.is_empty())
        {
            return FINEST;
        }
        let mut reading = Reading {
            name: alias
                .as_ref()
                .map_or(rollup.to_owned(), |alias| alias.name.value.to_lowercase()),
            state,
            parameters: self.parameters,
            aliases: HashSet::new(),
            aggregates: false,
            coarsest: Level::Year,
        };
        match reading.select(select) {
            Some(()) => reading.coarsest,
            None => FINEST,
        }
    }
}

/// Reads a `SELECT` of one rollup; whatever gives `None` is not understood.
struct Reading<'a> {
    /// What the rollup goes by.
    name: String,
    state: &'a RollupState,
    parameters: &'a [Parameter],
    /// The names of the answer's columns, which can stand for them in `GROUP BY` and `HAVING`.
    aliases: HashSet<String>,
    /// Whether figures are added up.
    aggregates: bool,
    coarsest: Level,
}

impl Reading<'_> {
    fn select(&mut self, select: &Select) -> Option<()> {
        let plain = select.top.is_none()
            && select.lateral_views.is_empty()
            && select.named_window.is_empty()
            && select.qualify.is_none()
            && select.connect_by.is_empty();
        if !plain {
            return None;
        }
        let mut aliases = HashSet::new();
        for item in &select.projection {
            match item {
                SelectItem::UnnamedExpr(expr) => self.expr(expr)?,
                SelectItem::ExprWithAlias { expr, alias } => {
                    self.expr(expr)?;
                    aliases.insert(alias.value.to_lowercase());
                }
                _ => return None,
            }
        }
        if let Some(condition) = &select.selection {
            self.condition(condition)?;
        }
        // Where a column has the same name, the column is meant.
        let columns = self.state.columns.iter().map(|recorded| &recorded.name);
        for column in self.state.group_by.iter().chain(columns) {
            aliases.remove(column);
        }
        aliases.remove("time");
        self.aliases = aliases;
        let grouped = match &select.group_by {
            GroupByExpr::All(modifiers) => modifiers.is_empty(),
            GroupByExpr::Expressions(groups, modifiers) => {
                for group in groups {
                    self.expr(group)?;
                }
                modifiers.is_empty().then_some(())?;
                !groups.is_empty()
            }
        };
        if let Some(condition) = &select.having {
            self.expr(condition)?;
        }
        // Otherwise each row of the level is a row of the answer.
        let distinct = match &select.distinct {
            None => false,
            Some(Distinct::Distinct) => true,
            Some(_) => return None,
        };
        (grouped || self.aggregates || distinct).then_some(())
    }

    /// The conditions that rows have to meet.
    fn condition(&mut self, expr: &Expr) -> Option<()> {
        match expr {
            Expr::Nested(inner) => self.condition(inner),
            Expr::BinaryOp {
                left,
                op: BinaryOperator::And | BinaryOperator::Or,
                right,
            } => {
                self.condition(left)?;
                self.condition(right)
            }
            Expr::BinaryOp { left, op, right } if self.is_time(left) => {
                self.bound(op, right, false)
            }
            Expr::BinaryOp { left, op, right } if self.is_time(right) => self.bound(op, left, true),
            other => self.expr(other),
        }
    }

    /// A comparison of the time with a beginning: whole times are on either side of it.
    fn bound(&mut self, op: &BinaryOperator, value: &Expr, turned: bool) -> Option<()> {
        let from = match (op, turned) {
            (BinaryOperator::GtEq | BinaryOperator::Lt, false) => true,
            (BinaryOperator::LtEq | BinaryOperator::Gt, true) => true,
            _ => return None,
        };
        let micros = from.then(|| self.instant(value)).flatten()?;
        let begins = |level: &Level| level.start(micros) == Some(micros);
        let coarsest = Level::ALL.into_iter().filter(begins).max()?;
        self.coarsest = self.coarsest.min(coarsest);
        Some(())
    }

    fn expr(&mut self, expr: &Expr) -> Option<()> {
        match expr {
            Expr::Value(_) | Expr::TypedString(_) => Some(()),
            Expr::Identifier(_) | Expr::CompoundIdentifier(_) => {
                let column = self.column(expr)?;
                let known = self.state.group_by.contains(&column) || self.aliases.contains(&column);
                known.then_some(())
            }
            Expr::Nested(inner)
            | Expr::UnaryOp { expr: inner, .. }
            | Expr::IsNull(inner)
            | Expr::IsNotNull(inner) => self.expr(inner),
            Expr::Cast { expr: inner, .. } => self.expr(inner),
            Expr::BinaryOp { left, right, .. } => {
                self.expr(left)?;
                self.expr(right)
            }
            Expr::Between {
                expr, low, high, ..
            } => [expr, low, high]
                .into_iter()
                .try_for_each(|one| self.expr(one).ok_or(()))
                .ok(),
            Expr::InList { expr, list, .. } => {
                self.expr(expr)?;
                list.iter()
                    .try_for_each(|one| self.expr(one).ok_or(()))
                    .ok()
            }
            Expr::Function(function) => self.function(function),
            _ => None,
        }
    }

    fn function(&mut self, function: &Function) -> Option<()> {
        let [part] = function.name.0.as_slice() else {
            return None;
        };
        let name = part.as_ident()?.value.to_lowercase();
        let FunctionArguments::List(FunctionArgumentList {
            args,
            clauses,
            duplicate_treatment,
        }) = &function.args
        else {
            return None;
        };
        let plain = function.over.is_none()
            && function.filter.is_none()
            && function.within_group.is_empty()
            && matches!(function.parameters, FunctionArguments::None);
        if !plain {
            return None;
        }
        let args: Vec<&Expr> = args
            .iter()
            .map(|arg| match arg {
                FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => Some(expr),
                _ => None,
            })
            .collect::<Option<_>>()?;
        let unit = |expr: &Expr| match expr {
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(text) => text.to_lowercase().parse::<Level>().ok(),
                _ => None,
            },
            _ => None,
        };
        match (name.as_str(), args.as_slice(), clauses.as_slice()) {
            ("date_trunc" | "datetrunc", [how, time], []) if self.is_time(time) => {
                self.coarsest = self.coarsest.min(unit(how)?);
                Some(())
            }
            ("sum" | "min" | "max", [figure], []) if duplicate_treatment.is_none() => {
                self.aggregates = true;
                let function = self.figure(figure)?;
                let fits = match name.as_str() {
                    "sum" => matches!(function, MeasureFunction::Sum | MeasureFunction::Count),
                    "min" => function == MeasureFunction::Min,
                    _ => function == MeasureFunction::Max,
                };
                fits.then_some(())
            }
            ("first" | "last", [figure], [FunctionArgumentClause::OrderBy(order)]) => {
                self.aggregates = true;
                let [by] = order.as_slice() else {
                    return None;
                };
                let ascending = by.options.sort.is_none() && by.with_fill.is_none();
                let fits = match self.figure(figure)? {
                    MeasureFunction::First => name == "first",
                    MeasureFunction::Last => name == "last",
                    _ => false,
                };
                (fits && ascending && self.is_time(&by.expr)).then_some(())
            }
            // What is computed from groups and other values alone.
            ("coalesce" | "lower" | "upper" | "length" | "abs" | "round" | "concat", args, []) => {
                args.iter()
                    .try_for_each(|one| self.expr(one).ok_or(()))
                    .ok()
            }
            _ => None,
        }
    }

    /// How the figures of a column were computed.
    fn figure(&self, expr: &Expr) -> Option<MeasureFunction> {
        let column = self.column(expr)?;
        let mut columns = self.state.columns.iter();
        let Recorded { function, .. } = columns.find(|recorded| recorded.name == column)?;
        Some(*function)
    }

    fn is_time(&self, expr: &Expr) -> bool {
        self.column(expr).as_deref() == Some("time")
    }

    /// The name of a column of the rollup.
    fn column(&self, expr: &Expr) -> Option<String> {
        match expr {
            Expr::Nested(inner) => self.column(inner),
            Expr::Identifier(column) => Some(column.value.to_lowercase()),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [table, column] if table.value.to_lowercase() == self.name => {
                    Some(column.value.to_lowercase())
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// A constant instant, in microseconds since 1970.
    fn instant(&self, expr: &Expr) -> Option<i64> {
        match expr {
            Expr::Nested(inner) | Expr::Cast { expr: inner, .. } => self.instant(inner),
            Expr::TypedString(TypedString { value, .. }) => match &value.value {
                Value::SingleQuotedString(text) => parsed(text),
                _ => None,
            },
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(text) => parsed(text),
                Value::Placeholder(place) => {
                    let number: usize = place.strip_prefix('$')?.parse().ok()?;
                    match self.parameters.get(number.checked_sub(1)?)? {
                        Parameter::Timestamp(micros) => Some(*micros),
                        Parameter::Date(days) => Some(i64::from(*days) * DAY),
                        Parameter::Text(text) => parsed(text),
                        _ => None,
                    }
                }
                _ => None,
            },
            _ => None,
        }
    }
}

fn parsed(text: &str) -> Option<i64> {
    let date = || Date32Type::parse(text).map(|days| i64::from(days) * DAY);
    TimestampMicrosecondType::parse(text).or_else(date)
}

/// Puts the tables in.
struct Putting<'a> {
    catalog: &'a Catalog,
    ctes: HashSet<String>,
    chosen: BTreeMap<TableName, Level>,
}

impl VisitorMut for Putting<'_> {
    type Break = ();

    fn pre_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        let Some(rollup) = rollup_of(factor, self.catalog, &self.ctes) else {
            return Continue(());
        };
        let levels = self.catalog.levels(&rollup);
        let level = self.chosen.get(rollup.as_str());
        let table = level
            .and_then(|level| levels.get(level))
            .map(|(table, _)| table);
        if let (TableFactor::Table { name, alias, .. }, Some(table)) = (factor, table) {
            *name = ObjectName(vec![ObjectNamePart::Identifier(Ident::new(table.as_str()))]);
            alias.get_or_insert_with(|| TableAlias {
                explicit: true,
                name: Ident::new(rollup),
                columns: Vec::new(),
                at: None,
            });
        }
        Continue(())
    }
}

#[cfg(test)]
mod tests;
