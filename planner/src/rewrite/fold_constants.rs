//! Computes expressions without columns, with our arithmetic.
//!
//! DataFusion's simplifier folds constants too, but lets integers wrap and casts truncate. What fails on every row
//! fails here, once, as an error of the query.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::datatypes::Schema;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, Result, ScalarValue};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::{PlanError, scalar};

/// The rule.
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
        let names = NamePreserver::new(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(expr.transform_down(fold)?.update_data(|expr| name.restore(expr)))
        })
    }
}

/// Replaces a maximal constant expression; goes into others.
fn fold(expr: Expr) -> Result<Transformed<Expr>> {
    match &expr {
        Expr::Literal(..) | Expr::Alias(_) | Expr::Column(_) => return Ok(Transformed::no(expr)),
        _ if !is_constant(&expr) => return Ok(Transformed::no(expr)),
        _ => {}
    }
    let Ok(scalar) = scalar::compile(&expr, &DFSchema::empty()) else { return Ok(Transformed::no(expr)) };
    let value = scalar.evaluate(&one_row());
    if let Some(error) = value.errors.first() {
        return Err(PlanError::invalid(format!("{}: {}", scalar.text(), error.message)).into());
    }
    let value = ScalarValue::try_from_array(&value.values, 0)?;
    Ok(Transformed::new(Expr::Literal(value, None), true, TreeNodeRecursion::Jump))
}

/// Whether the value depends on nothing but literals.
fn is_constant(expr: &Expr) -> bool {
    let depends = expr.exists(|expr| {
        Ok(match expr {
            Expr::ScalarFunction(function) => function.func.signature().volatility != Volatility::Immutable,
            Expr::Literal(..)
            | Expr::BinaryExpr(_)
            | Expr::Like(_)
            | Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_)
            | Expr::Negative(_)
            | Expr::Between(_)
            | Expr::Case(_)
            | Expr::Cast(_)
            | Expr::TryCast(_)
            | Expr::InList(_) => false,
            _ => true,
        })
    });
    !depends.expect("the visitor does not fail")
}

fn one_row() -> RecordBatch {
    let options = RecordBatchOptions::new().with_row_count(Some(1));
    RecordBatch::try_new_with_options(Arc::new(Schema::empty()), Vec::new(), &options).expect("a row without columns")
}
