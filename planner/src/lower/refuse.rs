//! Refuses what cannot be part of a view, and names it in the error.

use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use laminardb_dataflow::plan::DataflowPlan;
use laminardb_dataflow::row_bytes::is_physical;

use crate::PlanError;
use crate::part;
use crate::statement::type_name;

/// Makes the error that refuses `construct`.
pub(super) fn construct(construct: impl Into<String>) -> PlanError {
    PlanError::NotMaintainable { construct: construct.into(), position: None, hint: None }
}

/// Makes the error that refuses `construct`, with a hint at what to write instead.
pub(super) fn construct_with_hint(construct: impl Into<String>, hint: &str) -> PlanError {
    PlanError::NotMaintainable { construct: construct.into(), position: None, hint: Some(hint.to_owned()) }
}

/// Makes the error that refuses a plan node for which there is no operator.
pub(super) fn plan(plan: &LogicalPlan) -> PlanError {
    match plan {
        LogicalPlan::Window(_) => construct_with_hint(
            "OVER",
            "only ROW_NUMBER() with a filter that keeps the first rows of each partition can be maintained",
        ),
        LogicalPlan::RecursiveQuery(_) => construct("WITH RECURSIVE"),
        LogicalPlan::Unnest(_) => construct("UNNEST"),
        other => {
            let text = other.display().to_string();
            construct(text.split([':', ' ', '(']).next().unwrap_or_default().to_owned())
        }
    }
}

/// Refuses constructs in `query` that must not reach the optimiser, which would fold or hide them.
pub(super) fn query(query: &LogicalPlan) -> Result<(), PlanError> {
    let mut refused = Ok(());
    let visited = part::apply_with_parts(query, &mut |node| {
        refused = match node {
            LogicalPlan::RecursiveQuery(_) | LogicalPlan::Unnest(_) => Err(plan(node)),
            _ => Ok(()),
        };
        if refused.is_err() {
            return Ok(TreeNodeRecursion::Stop);
        }
        node.apply_expressions(|expr| {
            refused = unstable(expr);
            Ok(if refused.is_err() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    });
    visited.map_err(PlanError::from)?;
    refused
}

/// Refuses plans with columns of types that the engine cannot keep, such as maps.
pub(super) fn types(plan: &DataflowPlan) -> Result<(), PlanError> {
    let mut fields = plan.nodes.iter().flat_map(|node| node.schema.fields());
    match fields.find(|field| !is_physical(field.data_type())) {
        Some(field) => Err(construct(format!("a value of type {}", type_name(field.data_type())))),
        None => Ok(()),
    }
}

/// Refuses functions that can give different values for the same arguments: a retraction would not find its row.
fn unstable(expr: &Expr) -> Result<(), PlanError> {
    let mut refused = Ok(());
    expr.apply(|expr| {
        if let Expr::ScalarFunction(function) = expr
            && function.func.signature().volatility != Volatility::Immutable
        {
            refused = Err(construct(format!("the function {}()", function.func.name())));
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    })
    .expect("the visitor does not fail");
    refused
}

/// Refuses expressions whose value is not a function of one row.
pub(super) fn expression(expr: &Expr) -> Result<(), PlanError> {
    let mut refused = Ok(());
    expr.apply(|expr| {
        refused = match expr {
            Expr::ScalarSubquery(_) => Err(construct_with_hint(
                "a scalar subquery that can return more than one row",
                "aggregate it, or end it with LIMIT 1",
            )),
            Expr::Exists(_) => Err(construct("EXISTS here")),
            Expr::InSubquery(_) => Err(construct("IN (SELECT ...) here")),
            Expr::SetComparison(_) => Err(construct("ANY or ALL of a subquery")),
            Expr::OuterReferenceColumn(_, column) => {
                Err(construct(format!("a subquery that refers to {} of the outer query here", column.name)))
            }
            Expr::Unnest(_) => Err(construct("UNNEST")),
            Expr::WindowFunction(_) => Err(construct("OVER")),
            Expr::Placeholder(_) => Err(construct("a parameter")),
            _ => Ok(()),
        };
        Ok(if refused.is_err() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })
    .expect("the visitor does not fail");
    refused?;
    unstable(expr)
}
