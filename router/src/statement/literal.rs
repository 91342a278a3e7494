//! Literals that become parameters.
//!
//! A worker keeps what DuckDB makes of a statement by its text. Statements that differ only in the
//! key that they ask for share one text if the key is a parameter, so a literal that is compared
//! with a column of its own type is made one. All others stay: elsewhere a literal can mean more
//! than its value, as in `ORDER BY 1`.

use super::constraint::{Scope, inner_tables};
use crate::Catalog;
use arrow::datatypes::DataType;
use sqlparser::ast::{BinaryOperator, Expr, Query, SetExpr, UnaryOperator, Value};
use streamsync_core::Parameter;

/// The longest list whose values become parameters. Lists of different lengths are different
/// texts, so longer ones are hardly ever asked for twice.
const MAX_LIST: usize = 16;

/// Puts placeholders in the place of literals in the `WHERE` of the outermost `SELECT`, and the
/// literals after the parameters that there are.
pub(super) fn lift(query: &mut Query, catalog: &Catalog, parameters: &mut Vec<Parameter>) {
    if let SetExpr::Select(select) = query.body.as_mut()
        && let Some(tables) = inner_tables(select, catalog)
        && let Some(condition) = &mut select.selection
    {
        let scope = Scope {
            catalog,
            tables,
            parameters: &[],
        };
        Lifting { scope, parameters }.condition(condition);
    }
}

struct Lifting<'a> {
    scope: Scope<'a>,
    parameters: &'a mut Vec<Parameter>,
}

impl Lifting<'_> {
    fn condition(&mut self, expr: &mut Expr) {
        match expr {
            Expr::Nested(inner) => self.condition(inner),
            Expr::UnaryOp {
                op: UnaryOperator::Not,
                expr,
            } => self.condition(expr),
            Expr::BinaryOp { left, op, right } => match op {
                BinaryOperator::And | BinaryOperator::Or => {
                    self.condition(left);
                    self.condition(right);
                }
                BinaryOperator::Eq
                | BinaryOperator::NotEq
                | BinaryOperator::Lt
                | BinaryOperator::LtEq
                | BinaryOperator::Gt
                | BinaryOperator::GtEq => {
                    self.beside(left, [right.as_mut()]);
                    self.beside(right, [left.as_mut()]);
                }
                _ => {}
            },
            Expr::Between {
                expr, low, high, ..
            } => self.beside(expr, [low.as_mut(), high.as_mut()]),
            Expr::InList { expr, list, .. } if list.len() <= MAX_LIST => self.beside(expr, list),
            _ => {}
        }
    }

    fn beside<'e>(&mut self, column: &Expr, values: impl IntoIterator<Item = &'e mut Expr>) {
        let Some(data_type) = self.scope.column_type(column) else {
            return;
        };
        for expr in values {
            if let Some(value) = literal(&data_type, expr) {
                self.parameters.push(value);
                let placeholder = format!("${}", self.parameters.len());
                *expr = Expr::value(Value::Placeholder(placeholder));
            }
        }
    }
}

/// A literal of the column's own type.
fn literal(data_type: &DataType, expr: &Expr) -> Option<Parameter> {
    let integer = matches!(data_type, DataType::Int32 | DataType::Int64);
    match expr {
        Expr::UnaryOp {
            op: UnaryOperator::Minus,
            expr,
        } if integer => match literal(data_type, expr)? {
            Parameter::Integer(value) => Some(Parameter::Integer(-value)),
            _ => None,
        },
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) if *data_type == DataType::Utf8 => {
                Some(Parameter::Text(text.clone()))
            }
            Value::Number(digits, false) if integer => {
                let value: i64 = digits.parse().ok()?;
                Some(Parameter::Integer(value.into()))
            }
            _ => None,
        },
        _ => None,
    }
}
