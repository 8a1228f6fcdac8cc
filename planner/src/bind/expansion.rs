//! Expands functions that are only another notation for an expression: `nvl2` becomes a CASE.
//!
//! DataFusion leaves this to its simplifier and cannot evaluate the function itself. `coalesce`, `nvl` and `ifnull` are
//! evaluated by `scalar`.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::error::PlanError;
use crate::scope::scope_of;

/// Expands the functions in `plan` and its subqueries.
pub(super) fn apply(plan: LogicalPlan) -> Result<LogicalPlan, PlanError> {
    let mut found = false;
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expr| {
            found |= expr.exists(|expr| Ok(is_expanded(expr)))?;
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    })?;
    if found { Ok(plan.transform_up_with_subqueries(of_node)?.data) } else { Ok(plan) }
}

fn is_expanded(expr: &Expr) -> bool {
    matches!(expr, Expr::ScalarFunction(call) if call.func.name() == "nvl2")
}

fn of_node(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let names = NamePreserver::new(&node);
    let context = SimplifyContext::builder().with_schema(Arc::new(scope_of(&node))).build();
    let expanded = node.map_expressions(|expr| {
        let name = names.save(&expr);
        Ok(expr.transform_up(|expr| of_expr(expr, &context))?.update_data(|expr| name.restore(expr)))
    })?;
    if expanded.transformed { expanded.map_data(LogicalPlan::recompute_schema) } else { Ok(expanded) }
}

fn of_expr(expr: Expr, context: &SimplifyContext) -> Result<Transformed<Expr>> {
    match expr {
        Expr::ScalarFunction(call) if call.func.name() == "nvl2" => {
            match call.func.simplify(call.args.clone(), context)? {
                ExprSimplifyResult::Simplified(expanded) => Ok(Transformed::yes(expanded)),
                ExprSimplifyResult::Original(_) => Ok(Transformed::no(Expr::ScalarFunction(call))),
            }
        }
        other => Ok(Transformed::no(other)),
    }
}
