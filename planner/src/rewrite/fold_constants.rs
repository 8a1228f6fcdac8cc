//! Computes expressions without columns, with our arithmetic.
//!
//! A constant that fails for every row fails here, once, as an error of the query.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::{Expr, LogicalPlan, Operator, Volatility};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::can_fail::is_total;
use super::expression::rewrite_each;
use crate::{PlanError, scalar};

/// The optimiser rule that this module describes.
#[derive(Debug)]
pub(super) struct FoldConstants;

impl OptimizerRule for FoldConstants {
    fn name(&self) -> &str {
        "fold_constants"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        rewrite_each(plan, |expr| fold(expr, true))
    }
}

/// Replaces maximal constant expressions in `expr`; `always` says whether `expr` is evaluated for every row.
///
/// A constant that fails is an error of the query if `always` is true. Otherwise it stays, because a guard may keep
/// every row from it.
pub(super) fn fold(expr: Expr, always: bool) -> Result<Transformed<Expr>> {
    if matches!(expr, Expr::Literal(..) | Expr::Column(_)) {
        return Ok(Transformed::no(expr));
    }
    if !matches!(expr, Expr::Alias(_)) && is_constant(&expr) {
        match value(&expr) {
            Some(Ok(value)) => return Ok(Transformed::yes(Expr::Literal(value, None))),
            Some(Err(error)) if always => return Err(error.into()),
            _ => {}
        }
    }
    let always = always && !guards(&expr);
    expr.map_children(|child| fold(child, always))
}

/// Returns the value of a constant expression or its error; `None` if the expression cannot be compiled.
fn value(expr: &Expr) -> Option<std::result::Result<ScalarValue, PlanError>> {
    let scalar = scalar::compile(expr, &DFSchema::empty()).ok()?;
    let value = scalar.evaluate(&one_row());
    if let Some(error) = value.errors.first() {
        return Some(Err(PlanError::invalid(format!("{}: {}", scalar.text(), error.message))));
    }
    Some(ScalarValue::try_from_array(&value.values, 0).map_err(PlanError::from))
}

/// Returns whether an expression may leave some of its parts unevaluated.
fn guards(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryExpr(binary) => matches!(binary.op, Operator::And | Operator::Or),
        Expr::Case(_) => true,
        Expr::ScalarFunction(call) => call.func.short_circuits(),
        Expr::AggregateFunction(call) => call.params.filter.is_some(),
        _ => false,
    }
}

/// Returns whether the value depends on nothing but literals.
fn is_constant(expr: &Expr) -> bool {
    let depends = expr.exists(|expr| {
        Ok(match expr {
            Expr::ScalarFunction(function) => function.func.signature().volatility != Volatility::Immutable,
            Expr::Literal(..) | Expr::BinaryExpr(_) | Expr::Negative(_) | Expr::Cast(_) => false,
            other => !is_total(other),
        })
    });
    !depends.expect("the visitor does not fail")
}

fn one_row() -> RecordBatch {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).expect("a row without columns")
}
