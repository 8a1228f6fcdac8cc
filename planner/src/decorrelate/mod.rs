//! Subqueries become joins, before anything else is rewritten; DataFusion's own rules for it give wrong answers.
//!
//! * A conjunct of WHERE or HAVING that is EXISTS, IN or their negation becomes a semi or anti join (`filter`), with
//!   the correlated conditions as its condition where the subquery is filters and projections (`pull_up`).
//! * Anywhere else EXISTS and scalar subqueries become a column of a left join (`attach`); where they refer to the
//!   outer query by equalities alone, their rows are grouped by those (`attach_by_key`).
//! * IN and ANY/ALL there are written as EXISTS with three-valued logic first (`three_valued`).
//! * Those of grouping keys, aggregates, window functions and orders become columns below them (`clause`), those of ON
//!   columns of the side they refer to (`join`).
//! * A subquery that refers to the outer query beyond that is evaluated for the distinct values of the columns it
//!   refers to, all at once, and joined with them (`domain`).
//!
//! NOT IN keeps a row only where nothing is equal, nothing is NULL, and the value is not NULL unless there is nothing.

mod attach;
mod attach_by_key;
mod clause;
mod domain;
mod filter;
mod join;
mod outer_reference;
mod pull_up;
mod three_valued;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, TableReference};
use datafusion::logical_expr::{Distinct, EmptyRelation, Expr, FetchType, LogicalPlan, LogicalPlanBuilder};

use crate::PlanError;
use crate::decorrelate::outer_reference::has_subquery;

pub(crate) use crate::decorrelate::attach::is_one_row;

/// `plan` without subqueries, but for those that are left as they are: scalar ones that refer to nothing outside and
/// may have several rows.
pub fn decorrelate(plan: LogicalPlan) -> std::result::Result<LogicalPlan, PlanError> {
    let (mut found, mut without_rows) = (false, false);
    plan.apply_with_subqueries(|node| {
        found |= node.expressions().iter().any(has_subquery);
        without_rows |= has_limit_zero(node);
        Ok(TreeNodeRecursion::Continue)
    })?;
    let plan = if without_rows { plan.transform_up_with_subqueries(emptied)?.data } else { plan };
    if !found {
        return Ok(plan);
    }
    Ok(Decorrelation::default().rewrite(plan)?)
}

/// Whether `node` keeps none of its rows.
fn has_limit_zero(node: &LogicalPlan) -> bool {
    match node {
        LogicalPlan::Limit(limit) => matches!(limit.get_fetch_type(), Ok(FetchType::Literal(Some(0)))),
        LogicalPlan::Sort(sort) => sort.fetch == Some(0),
        _ => false,
    }
}

/// No rows in the place of LIMIT 0, which DataFusion's executor has no operator for.
fn emptied(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if !has_limit_zero(&node) {
        return Ok(Transformed::no(node));
    }
    let schema = Arc::clone(node.schema());
    Ok(Transformed::yes(LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema })))
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
            LogicalPlan::Values(values) if values.values.iter().flatten().any(has_subquery) => {
                self.rewrite_values(values)
            }
            other if !other.expressions().iter().any(has_subquery) => Ok(other),
            LogicalPlan::Projection(projection) => self.rewrite_projection(projection),
            LogicalPlan::Aggregate(aggregate) => self.rewrite_aggregate(aggregate),
            LogicalPlan::Window(window) => self.rewrite_window(window),
            LogicalPlan::Sort(sort) => self.rewrite_sort(sort),
            LogicalPlan::Distinct(Distinct::On(distinct)) => self.rewrite_distinct_on(distinct),
            LogicalPlan::Join(join) => self.rewrite_join(join),
            other => Ok(other),
        }
    }
}

/// The qualified names of the columns of a schema.
fn names(schema: &DFSchema) -> Vec<(Option<TableReference>, String)> {
    schema.iter().map(|(qualifier, field)| (qualifier.cloned(), field.name().clone())).collect()
}

/// The columns of `plan` called as those of `schema`, which it begins with.
fn called_as(plan: LogicalPlan, schema: &DFSchema) -> Result<LogicalPlan> {
    let columns = plan.schema().columns().into_iter().zip(names(schema));
    let columns: Vec<Expr> =
        columns.map(|(column, (qualifier, name))| named(Expr::Column(column), qualifier, name)).collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// `expr` called `qualifier.name`, which it may be already.
fn named(expr: Expr, qualifier: Option<TableReference>, name: String) -> Expr {
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
