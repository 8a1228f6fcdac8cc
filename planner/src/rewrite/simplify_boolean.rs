//! AND, OR and NOT with fewer parts: constants drop out, and NOT moves inwards to where it is another operator. A column
//! that cannot be NULL is not asked whether it is.
//!
//! Each rewrite has the same value, the same NULLs, and fails on the same rows; what would drop an operand that can
//! fail is not done.

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator, lit};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::can_fail::{can_fail, is_comparison};
use crate::scope::scope_of;

/// The rule.
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
        let names = NamePreserver::new(&plan);
        let schema = scope_of(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(simplified(expr, &schema)?.update_data(|expr| name.restore(expr)))
        })
    }
}

/// `expr` over the columns of `schema`, simplified.
pub(super) fn simplified(expr: Expr, schema: &DFSchema) -> Result<Transformed<Expr>> {
    // NOT goes down, then constants come up.
    expr.transform_down(|expr| Ok(inwards(expr)))?
        .transform_data(|expr| expr.transform_up(|expr| Ok(without_constants(expr, schema))))
}

/// NOT of an operator that has an opposite, as the opposite.
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

/// Values of every type are in one order, so one of two opposites is true unless a side is NULL.
fn opposite(op: Operator) -> Option<Operator> {
    is_comparison(op).then(|| op.negate())?
}

/// AND and OR of a constant, NOT of one, IS NULL of a column that says what it gives.
fn without_constants(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::IsNull(arg) if is_never_null(&arg, schema) => Transformed::yes(lit(false)),
        Expr::IsNotNull(arg) if is_never_null(&arg, schema) => Transformed::yes(lit(true)),
        Expr::Not(arg) => match truth(&arg) {
            Some(value) => Transformed::yes(lit(!value)),
            None => Transformed::no(Expr::Not(arg)),
        },
        Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::And | Operator::Or), right }) => {
            // What decides: false for AND, true for OR. The other value changes nothing.
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
