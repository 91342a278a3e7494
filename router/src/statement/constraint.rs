//! Conditions by which files can be left out.
//!
//! Only the `WHERE` of the outermost `SELECT` counts, only where its tables are joined inwards,
//! and only for tables that the statement names once: then every row that matters meets every one
//! of the conditions joined by `AND`. Whatever is not understood is no condition.

use crate::Catalog;
use arrow::{
    compute::kernels::cast_utils::Parser,
    datatypes::{DataType, Date32Type, TimestampMicrosecondType},
};
use sqlparser::ast::{
    BinaryOperator, DataType as SqlType, Expr, JoinOperator, Query, Select, SetExpr, TableFactor,
    TypedString, UnaryOperator, Value,
};
use std::collections::BTreeMap;
use streamsync_core::{Parameter, TableName};
use streamsync_lake::{Constraint, ConstraintOp, Scalar};

pub(super) fn collect(
    query: &Query,
    catalog: &Catalog,
    parameters: &[Parameter],
    references: &BTreeMap<TableName, usize>,
) -> BTreeMap<TableName, Vec<Constraint>> {
    let mut found = BTreeMap::new();
    if let SetExpr::Select(select) = query.body.as_ref()
        && let Some(condition) = &select.selection
        && let Some(tables) = inner_tables(select, catalog)
    {
        let scope = Scope {
            catalog,
            tables,
            parameters,
        };
        scope.conjuncts(condition, &mut found);
    }
    found.retain(|table, _| references.get(table) == Some(&1));
    found
}

/// The lake's tables of a `FROM` by the name they go by, if all of it is tables of the lake that
/// are joined inwards.
pub(super) fn inner_tables(select: &Select, catalog: &Catalog) -> Option<Vec<(String, TableName)>> {
    let mut tables = Vec::new();
    for from in &select.from {
        tables.push(table(&from.relation, catalog)?);
        for join in &from.joins {
            match join.join_operator {
                JoinOperator::Join(_) | JoinOperator::Inner(_) | JoinOperator::CrossJoin(_) => {
                    tables.push(table(&join.relation, catalog)?);
                }
                _ => return None,
            }
        }
    }
    Some(tables)
}

fn table(factor: &TableFactor, catalog: &Catalog) -> Option<(String, TableName)> {
    let TableFactor::Table {
        name,
        alias,
        args: None,
        ..
    } = factor
    else {
        return None;
    };
    let [part] = name.0.as_slice() else {
        return None;
    };
    let table = catalog
        .name(&part.as_ident()?.value.to_lowercase())?
        .clone();
    let alias = match alias {
        Some(alias) if !alias.columns.is_empty() => return None,
        Some(alias) => alias.name.value.to_lowercase(),
        None => table.to_string(),
    };
    Some((alias, table))
}

/// The columns that can be named.
pub(super) struct Scope<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) tables: Vec<(String, TableName)>,
    pub(super) parameters: &'a [Parameter],
}

/// A column, and the comparison turned so that the column is on the left.
struct Column<'a> {
    table: &'a TableName,
    name: String,
    data_type: DataType,
}

impl Scope<'_> {
    /// The type of the column that an expression names, if it does no more than that.
    pub(super) fn column_type(&self, expr: &Expr) -> Option<DataType> {
        self.column(expr).map(|column| column.data_type)
    }

    fn conjuncts(&self, expr: &Expr, found: &mut BTreeMap<TableName, Vec<Constraint>>) {
        match expr {
            Expr::Nested(inner) => self.conjuncts(inner, found),
            Expr::BinaryOp {
                left,
                op: BinaryOperator::And,
                right,
            } => {
                self.conjuncts(left, found);
                self.conjuncts(right, found);
            }
            other => {
                for (table, constraint) in self.constraints(other) {
                    found.entry(table).or_default().push(constraint);
                }
            }
        }
    }

    fn constraints(&self, expr: &Expr) -> Vec<(TableName, Constraint)> {
        let found = match expr {
            Expr::BinaryOp { left, op, right } => self
                .compared(left, op, right)
                .or_else(|| self.compared(right, &turned(op)?, left))
                .map(|one| vec![one]),
            Expr::Between {
                expr,
                negated: false,
                low,
                high,
            } => {
                let bound = |op, value| self.compared(expr, &op, value);
                let bounds = [
                    bound(BinaryOperator::GtEq, low),
                    bound(BinaryOperator::LtEq, high),
                ];
                Some(bounds.into_iter().flatten().collect())
            }
            Expr::InList {
                expr,
                list,
                negated: false,
            } => self.column(expr).and_then(|column| {
                let values = list
                    .iter()
                    .map(|value| self.scalar(&column.data_type, value));
                let values = values.collect::<Option<Vec<_>>>()?;
                Some(vec![column.constrained(ConstraintOp::In(values))])
            }),
            Expr::IsNull(expr) => self
                .column(expr)
                .map(|column| vec![column.constrained(ConstraintOp::IsNull)]),
            Expr::IsNotNull(expr) => self
                .column(expr)
                .map(|column| vec![column.constrained(ConstraintOp::IsNotNull)]),
            _ => None,
        };
        found.unwrap_or_default()
    }

    fn compared(
        &self,
        left: &Expr,
        op: &BinaryOperator,
        right: &Expr,
    ) -> Option<(TableName, Constraint)> {
        let column = self.column(left)?;
        let value = self.scalar(&column.data_type, right)?;
        let op = match op {
            BinaryOperator::Eq => ConstraintOp::Eq(value),
            BinaryOperator::Lt => ConstraintOp::Lt(value),
            BinaryOperator::LtEq => ConstraintOp::LtEq(value),
            BinaryOperator::Gt => ConstraintOp::Gt(value),
            BinaryOperator::GtEq => ConstraintOp::GtEq(value),
            _ => return None,
        };
        Some(column.constrained(op))
    }

    fn column(&self, expr: &Expr) -> Option<Column<'_>> {
        let (alias, name) = match expr {
            Expr::Nested(inner) => return self.column(inner),
            Expr::Identifier(name) => (None, name),
            Expr::CompoundIdentifier(parts) => match parts.as_slice() {
                [alias, name] => (Some(alias.value.to_lowercase()), name),
                _ => return None,
            },
            _ => return None,
        };
        let name = name.value.to_lowercase();
        let mut having = self.tables.iter().filter_map(|(known_as, table)| {
            let named = alias.as_ref().is_none_or(|alias| alias == known_as);
            let data_type = self.catalog.column(table, &name).filter(|_| named)?;
            Some((table, data_type))
        });
        match (having.next(), having.next()) {
            (Some((table, data_type)), None) => Some(Column {
                table,
                name,
                data_type,
            }),
            _ => None,
        }
    }

    /// A literal or a parameter as a value of a column's type, if it is one without conversion.
    fn scalar(&self, data_type: &DataType, expr: &Expr) -> Option<Scalar> {
        match expr {
            Expr::Nested(inner) => self.scalar(data_type, inner),
            Expr::UnaryOp {
                op: UnaryOperator::Minus,
                expr,
            } => match self.scalar(data_type, expr)? {
                Scalar::Int(value) => Some(Scalar::Int(value.checked_neg()?)),
                _ => None,
            },
            Expr::TypedString(TypedString {
                data_type: sql_type,
                value,
                ..
            }) => {
                let fits = matches!(
                    (sql_type, data_type),
                    (SqlType::Date, DataType::Date32)
                        | (SqlType::Timestamp(..), DataType::Timestamp(..))
                );
                let Value::SingleQuotedString(text) = &value.value else {
                    return None;
                };
                if fits { time(data_type, text) } else { None }
            }
            Expr::Value(value) => match &value.value {
                Value::Number(digits, _) if is_integer(data_type) => {
                    digits.parse().ok().map(Scalar::Int)
                }
                Value::SingleQuotedString(text) => match data_type {
                    DataType::Utf8 => Some(Scalar::Text(text.clone())),
                    _ => time(data_type, text),
                },
                Value::Placeholder(name) => {
                    let number: usize = name.strip_prefix('$')?.parse().ok()?;
                    self.parameter(data_type, self.parameters.get(number.checked_sub(1)?)?)
                }
                _ => None,
            },
            _ => None,
        }
    }

    fn parameter(&self, data_type: &DataType, parameter: &Parameter) -> Option<Scalar> {
        match (parameter, data_type) {
            (Parameter::Integer(value), _) if is_integer(data_type) => Some(Scalar::Int(*value)),
            (Parameter::Text(text), DataType::Utf8) => Some(Scalar::Text(text.clone())),
            (Parameter::Date(days), DataType::Date32) => Some(Scalar::Date(*days)),
            (Parameter::Timestamp(micros), DataType::Timestamp(..)) => {
                Some(Scalar::TimestampMicros(*micros))
            }
            _ => None,
        }
    }
}

impl Column<'_> {
    fn constrained(&self, op: ConstraintOp) -> (TableName, Constraint) {
        (
            self.table.clone(),
            Constraint {
                column: self.name.clone(),
                op,
            },
        )
    }
}

fn is_integer(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Decimal128(_, 0))
}

/// A day or a moment from its plain ISO form; anything else is left to DuckDB.
fn time(data_type: &DataType, text: &str) -> Option<Scalar> {
    let plain = |byte: u8| byte.is_ascii_digit() || b"-: .T".contains(&byte);
    if !text.bytes().all(plain) {
        return None;
    }
    match data_type {
        DataType::Date32 if text.len() == 10 => Date32Type::parse(text).map(Scalar::Date),
        DataType::Timestamp(..) if text.len() >= 10 => {
            TimestampMicrosecondType::parse(text).map(Scalar::TimestampMicros)
        }
        _ => None,
    }
}

/// `5 < x` is `x > 5`.
fn turned(op: &BinaryOperator) -> Option<BinaryOperator> {
    Some(match op {
        BinaryOperator::Eq => BinaryOperator::Eq,
        BinaryOperator::Lt => BinaryOperator::Gt,
        BinaryOperator::LtEq => BinaryOperator::GtEq,
        BinaryOperator::Gt => BinaryOperator::Lt,
        BinaryOperator::GtEq => BinaryOperator::LtEq,
        _ => return None,
    })
}
