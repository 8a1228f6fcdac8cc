//! Simplifies AND, OR and NOT: constants are removed, NOT moves inwards to operators that have an opposite, and IS NULL
//! of a column that cannot be NULL becomes a constant.
//!
//! Each rewrite keeps the value and the NULLs and fails on the same rows; an operand that can fail is not dropped.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, lit};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::can_fail::{can_fail, is_comparison};
use super::expression::rewrite_each;
use crate::scope::scope_of;

/// The optimiser rule that this module describes.
#[derive(Debug)]
pub(super) struct SimplifyBoolean;

impl OptimizerRule for SimplifyBoolean {
    fn name(&self) -> &str {
        "simplify_boolean"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let schema = scope_of(&plan);
        rewrite_each(plan, |expr| simplified(expr, &schema))
    }
}

/// Simplifies `expr` over the columns of `schema`.
pub(super) fn simplified(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    // First NOT moves down, then constants are removed from the leaves up.
    expr.transform_down(|expr| Ok(inwards(expr)))?
        .transform_data(|expr| expr.transform_up(|expr| Ok(without_constants(expr, schema))))
}

/// Replaces NOT of an operator that has an opposite by the opposite.
fn inwards(expr: Expr) -> Transformed<Expr> {
    let Expr::Not(arg) = expr else { return Transformed::no(expr) };
    match *arg {
        Expr::Not(twice) => Transformed::yes(inwards(*twice).data),
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::And, right }) => {
            Transformed::yes(Expr::Not(left).or(Expr::Not(right)))
        }
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Or, right }) => {
            Transformed::yes(Expr::Not(left).and(Expr::Not(right)))
        }
        Expr::BinaryExpr(BinaryExpr { left, op, right }) => match opposite(op) {
            Some(op) => Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right })),
            None => Transformed::no(Expr::Not(Box::new(Expr::BinaryExpr(BinaryExpr { left, op, right })))),
        },
        Expr::InList(mut list) => {
            list.negated = !list.negated;
            Transformed::yes(Expr::InList(list))
        }
        Expr::Between(mut between) => {
            between.negated = !between.negated;
            Transformed::yes(Expr::Between(between))
        }
        Expr::Like(mut like) => {
            like.negated = !like.negated;
            Transformed::yes(Expr::Like(like))
        }
        Expr::IsNull(arg) => Transformed::yes(Expr::IsNotNull(arg)),
        Expr::IsNotNull(arg) => Transformed::yes(Expr::IsNull(arg)),
        other => Transformed::no(Expr::Not(Box::new(other))),
    }
}

/// Returns the opposite of a comparison. Values of every type are totally ordered, so exactly one of two opposites is
/// true unless an operand is NULL.
fn opposite(op: Operator) -> Option<Operator> {
    is_comparison(op).then(|| op.negate())?
}

/// Removes constants from AND, OR and NOT, and replaces IS NULL of a column that cannot be NULL.
fn without_constants(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::IsNull(arg) if is_never_null(&arg, schema) => Transformed::yes(lit(false)),
        Expr::IsNotNull(arg) if is_never_null(&arg, schema) => Transformed::yes(lit(true)),
        Expr::Not(arg) => match truth(&arg) {
            Some(value) => Transformed::yes(lit(!value)),
            None => Transformed::no(Expr::Not(arg)),
        },
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            // The value that decides the result is false for AND and true for OR; the other value changes nothing.
            let decides = op == Operator::Or;
            match (truth(&left), truth(&right)) {
                (Some(value), _) if value == decides => Transformed::yes(lit(decides)),
                (Some(_), _) => Transformed::yes(*right),
                (_, Some(value)) if value != decides => Transformed::yes(*left),
                (_, Some(_)) if !can_fail(&left, schema) => Transformed::yes(lit(decides)),
                _ => Transformed::no(Expr::BinaryExpr(BinaryExpr { left, op, right })),
            }
        }
        other => Transformed::no(other),
    }
}

fn is_never_null(expr: &Expr, schema: &DFSchema) -> bool {
    match expr {
        Expr::Column(column) => schema.qualified_field_from_column(column).is_ok_and(|(_, field)| !field.is_nullable()),
        _ => false,
    }
}

fn truth(expr: &Expr) -> Option<bool> {
    match expr {
        Expr::Literal(ScalarValue::Boolean(value), _) => *value,
        _ => None,
    }
}
