//! Rewrites DISTINCT as grouping by all columns, which is how the executor runs it.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Aggregate, Distinct, Expr, LogicalPlan, LogicalPlanBuilder};

/// Replaces `node` by a grouping if it is a DISTINCT of whole rows.
pub(super) fn as_grouping(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Distinct(Distinct::All(input)) = node else { return Ok(Transformed::no(node)) };
    let columns: Vec<Expr> = input.schema().columns().into_iter().map(Expr::Column).collect();
    let grouped = if columns.is_empty() {
        // All rows without columns are equal.
        LogicalPlanBuilder::from(input).limit(0, Some(1))?.build()?
    } else {
        LogicalPlan::Aggregate(Aggregate::try_new(Arc::clone(&input), columns, Vec::new())?)
    };
    Ok(Transformed::yes(grouped))
}
