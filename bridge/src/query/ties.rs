//! Cuts ties under LIMIT as views do: rows equal in the order's keys go by all columns, ascending.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::{Expr, LogicalPlan, Sort, SortExpr};

/// Makes the order total wherever only the first rows of it are read.
pub(super) fn make_cuts_total(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_down(|node| match node {
        LogicalPlan::Limit(mut limit) => {
            let input = std::sync::Arc::unwrap_or_clone(limit.input);
            limit.input = std::sync::Arc::new(make_sort_total(input)?);
            Ok(Transformed::yes(LogicalPlan::Limit(limit)))
        }
        LogicalPlan::Sort(sort) if sort.fetch.is_some() => Ok(Transformed::yes(LogicalPlan::Sort(total(sort)))),
        other => Ok(Transformed::no(other)),
    })
    .map(|total| total.data)
}

/// The sort that `plan` gives its rows in the order of, made total.
fn make_sort_total(plan: LogicalPlan) -> Result<LogicalPlan> {
    match plan {
        LogicalPlan::Sort(sort) => Ok(LogicalPlan::Sort(total(sort))),
        LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) => {
            plan.map_children(|child| make_sort_total(child).map(Transformed::yes)).map(|plan| plan.data)
        }
        other => Ok(other),
    }
}

fn total(mut sort: Sort) -> Sort {
    for column in sort.input.schema().columns() {
        let column = Expr::Column(column);
        if !sort.expr.iter().any(|key| key.expr == column) {
            sort.expr.push(SortExpr { expr: column, asc: true, nulls_first: true });
        }
    }
    sort
}
