//! Subqueries become joins, before anything else is rewritten; DataFusion's own rules for it give wrong answers.
//!
//! * A conjunct of WHERE or HAVING that is EXISTS, IN or their negation becomes a semi or anti join (`filter`), with
//!   the correlated conditions as its condition where the subquery is filters and projections (`pull_up`).
//! * Anywhere else EXISTS and scalar subqueries become a column of a left join (`attach`); where they refer to the
//!   outer query by equalities alone, their rows are grouped by those (`attach_by_key`).
//! * IN and ANY/ALL there are written as EXISTS with three-valued logic first (`three_valued`).
//! * A subquery that refers to the outer query beyond that is evaluated for the distinct values of the columns it
//!   refers to, all at once, and joined with them (`domain`).
//!
//! NOT IN keeps a row only where nothing is equal, nothing is NULL, and the value is not NULL unless there is nothing.

mod attach;
mod attach_by_key;
mod domain;
mod filter;
mod outer_reference;
mod pull_up;
mod three_valued;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, Result};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Projection};

use crate::PlanError;
use crate::decorrelate::outer_reference::has_subquery;

pub(crate) use crate::decorrelate::attach::is_one_row;

/// `plan` without subqueries, but for those that are left as they are: scalar ones that refer to nothing outside and
/// may have several rows.
pub fn decorrelate(plan: LogicalPlan) -> std::result::Result<LogicalPlan, PlanError> {
    let mut found = false;
    plan.apply(|node| {
        found |= node.expressions().iter().any(has_subquery);
        Ok(datafusion::common::tree_node::TreeNodeRecursion::Continue)
    })?;
    if !found {
        return Ok(plan);
    }
    Ok(Decorrelation::default().rewrite(plan)?)
}

/// The state of rewriting one query.
#[derive(Default)]
struct Decorrelation {
    names: usize,
}

impl Decorrelation {
    /// A relation name that is not used in the plan.
    fn fresh(&mut self, prefix: &str) -> String {
        self.names += 1;
        format!("__{prefix}{}", self.names)
    }

    fn rewrite(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        let plan = plan.map_children(|child| Ok(Transformed::yes(self.rewrite(child)?)))?.data;
        match plan {
            LogicalPlan::Filter(filter) if has_subquery(&filter.predicate) => self.rewrite_filter(filter),
            LogicalPlan::Projection(projection) if projection.expr.iter().any(has_subquery) => {
                self.rewrite_projection(projection)
            }
            other => Ok(other),
        }
    }

    fn rewrite_projection(&mut self, projection: Projection) -> Result<LogicalPlan> {
        let names: Vec<_> =
            projection.schema.iter().map(|(qualifier, field)| (qualifier.cloned(), field.name().clone())).collect();
        let mut input = Arc::unwrap_or_clone(projection.input);
        let mut exprs = Vec::with_capacity(names.len());
        for (expr, (qualifier, name)) in projection.expr.into_iter().zip(names) {
            let (extended, expr) = self.extract(input, expr)?;
            input = extended;
            exprs.push(named(expr, qualifier, name));
        }
        LogicalPlanBuilder::from(input).project(exprs)?.build()
    }
}

/// `expr` called `qualifier.name`, which it may be already.
fn named(expr: Expr, qualifier: Option<datafusion::common::TableReference>, name: String) -> Expr {
    match &expr {
        Expr::Column(column) if column.relation == qualifier && column.name == name => expr,
        _ => expr.unalias_nested().data.alias_qualified(qualifier, name),
    }
}

/// All columns of `plan`.
fn columns(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema().columns().into_iter().map(Expr::Column).collect()
}

/// Column `name` of relation `relation`.
fn column(relation: &str, name: impl Into<String>) -> Expr {
    Expr::Column(Column::new(Some(relation.to_owned()), name))
}
