//! Makes LIMIT keep the same rows as in a view: rows with equal sort keys are ordered by all columns, ascending.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Result, internal_err};
use datafusion::logical_expr::{Expr, Limit, LogicalPlan, Sort, SortExpr};

/// Makes the order total wherever only its first rows are read.
pub(super) fn make_cuts_total(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_down(|node| match node {
        LogicalPlan::Limit(limit) if ends_in_sort(&limit.input) => Ok(Transformed::yes(cut_sort(limit)?)),
        LogicalPlan::Sort(sort) if sort.fetch.is_some() => Ok(Transformed::yes(LogicalPlan::Sort(total(sort)))),
        other => Ok(Transformed::no(other)),
    })
    .map(|total| total.data)
}

/// Whether `plan` returns its rows in the order of a sort.
fn ends_in_sort(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Sort(_) => true,
        LogicalPlan::Projection(projection) => ends_in_sort(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => ends_in_sort(&alias.input),
        _ => false,
    }
}

/// Moves the limit down to its sort, which is made total; what was between the two comes above the limit.
///
/// DataFusion removes a sort whose order it considers unused, including one below a projection below a limit.
fn cut_sort(mut limit: Limit) -> Result<LogicalPlan> {
    match Arc::unwrap_or_clone(limit.input) {
        LogicalPlan::Sort(sort) => {
            limit.input = Arc::new(LogicalPlan::Sort(total(sort)));
            Ok(LogicalPlan::Limit(limit))
        }
        LogicalPlan::Projection(mut projection) => {
            limit.input = projection.input;
            projection.input = Arc::new(cut_sort(limit)?);
            Ok(LogicalPlan::Projection(projection))
        }
        LogicalPlan::SubqueryAlias(mut alias) => {
            limit.input = alias.input;
            alias.input = Arc::new(cut_sort(limit)?);
            Ok(LogicalPlan::SubqueryAlias(alias))
        }
        other => internal_err!("a limit of what is not sorted: {}", other.display()),
    }
}

/// Adds all columns to the sort keys, so that only equal rows have equal keys.
fn total(mut sort: Sort) -> Sort {
    for column in sort.input.schema().columns() {
        let column = Expr::Column(column);
        if !sort.expr.iter().any(|key| key.expr == column) {
            sort.expr.push(SortExpr { expr: column, asc: true, nulls_first: true });
        }
    }
    sort
}
