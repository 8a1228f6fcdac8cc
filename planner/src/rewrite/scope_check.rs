//! Checks that every column resolves to exactly one input column, and that no reference to an outer query is left.
//!
//! DataFusion refers to columns by name, so a rule that leaves a dangling name would silently make a wrong plan.

use datafusion::common::DFSchema;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::PlanError;

/// Checks `plan` and all plans below it.
pub(super) fn check(plan: &LogicalPlan) -> Result<(), PlanError> {
    let mut problem = None;
    plan.apply(|node| {
        problem = check_node(node)?;
        Ok(if problem.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    problem.map_or(Ok(()), Err)
}

fn check_node(node: &LogicalPlan) -> datafusion::common::Result<Option<PlanError>> {
    // The filters of a scan refer to its own columns.
    let mut scope = match node {
        LogicalPlan::TableScan(_) => node.schema().as_ref().clone(),
        _ => DFSchema::empty(),
    };
    for input in node.inputs() {
        scope.merge(input.schema());
    }
    let mut problem = None;
    node.apply_expressions(|expr| {
        expr.apply(|expr| {
            problem = match expr {
                Expr::Column(column) if scope.index_of_column(column).is_err() => {
                    Some(PlanError::invalid(format!("column {column} does not resolve in {}", node.display())))
                }
                Expr::OuterReferenceColumn(_, column) => Some(PlanError::not_maintainable(format!(
                    "a subquery that refers to column {} of the outer query here",
                    column.name
                ))),
                _ => None,
            };
            Ok(if problem.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    })?;
    Ok(problem)
}
