//! Turns subqueries into joins, before anything else is rewritten. DataFusion's own rules for this give wrong answers.
//!
//! * A conjunct of WHERE or HAVING that is EXISTS, IN or their negation becomes a semi or anti join (`filter`). If the
//!   subquery consists of filters and projections, its correlated conditions become the join condition (`pull_up`).
//! * Elsewhere, EXISTS and scalar subqueries become a column of a left join (`attach`). If they refer to the outer
//!   query by equalities only, their rows are grouped by the equated expressions (`attach_by_key`).
//! * Elsewhere, IN and ANY/ALL are first rewritten as EXISTS with three-valued logic (`three_valued`).
//! * Subqueries in grouping keys, aggregates, window functions and orders become columns below them (`clause`), and
//!   those in ON become columns of the side that they refer to (`join`).
//! * A subquery that refers to the outer query in any other way is evaluated once for all distinct values of the
//!   columns it refers to, and joined with these values (`domain`).
//!
//! NOT IN keeps a row only if no value is equal, no value is NULL, and the compared value is not NULL unless the
//! subquery has no rows.

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

use std::collections::HashSet;
use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, Result, TableReference};
use datafusion::logical_expr::{Distinct, EmptyRelation, Expr, FetchType, LogicalPlan, LogicalPlanBuilder};

use crate::PlanError;
use crate::budget;
use crate::decorrelate::outer_reference::has_subquery;
use crate::part;

pub(crate) use crate::decorrelate::attach::is_one_row;
pub(crate) use crate::decorrelate::outer_reference::{references, subquery_of};

/// Returns `plan` without subqueries, except scalar ones that refer to no outer query and may have several rows: they
/// are left as they are.
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
    Ok(Decorrelation { names: 0, taken: taken_names(&plan)?, copied: 0 }.rewrite(plan)?)
}

/// Returns the names of relations and columns in `plan` that look like those of [`Decorrelation::fresh`]: a statement
/// can contain them too.
fn taken_names(plan: &LogicalPlan) -> Result<HashSet<String>> {
    let mut taken = HashSet::new();
    plan.apply_with_subqueries(|node| {
        for (qualifier, field) in node.schema().iter() {
            let names = qualifier.map(TableReference::table).into_iter().chain([field.name().as_str()]);
            taken.extend(names.filter(|name| name.starts_with("__")).map(str::to_owned));
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(taken)
}

/// Returns whether `node` keeps none of its rows.
fn has_limit_zero(node: &LogicalPlan) -> bool {
    match node {
        LogicalPlan::Limit(limit) => matches!(limit.get_fetch_type(), Ok(FetchType::Literal(Some(0)))),
        LogicalPlan::Sort(sort) => sort.fetch == Some(0),
        _ => false,
    }
}

/// Replaces LIMIT 0, for which DataFusion's executor has no operator, by an empty relation.
fn emptied(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    if !has_limit_zero(&node) {
        return Ok(Transformed::no(node));
    }
    let schema = Arc::clone(node.schema());
    Ok(Transformed::yes(LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema })))
}

/// The state of rewriting one query.
struct Decorrelation {
    names: usize,
    /// The names that the query itself uses.
    taken: HashSet<String>,
    /// The number of nodes that have been copied.
    copied: usize,
}

/// The number of nodes that may be copied, because a subquery needs the rows around it once more. What would make it
/// larger becomes a part of the plan, since copies of copies are exponential in the number of subqueries.
const COPIED: usize = 200;

/// A plan of at most this number of nodes is always copied.
const SMALL: usize = 8;

impl Decorrelation {
    /// Returns a name that the query does not use and no other call returns.
    fn fresh(&mut self, prefix: &str) -> String {
        loop {
            self.names += 1;
            let name = format!("__{prefix}{}", self.names);
            if !self.taken.contains(&name) {
                return name;
            }
        }
    }

    /// Prepares `plan` for being copied `copies` times: if that is much, it becomes a scan of a part.
    fn copied(&mut self, plan: LogicalPlan, copies: usize) -> Result<LogicalPlan> {
        let size = part::size(&plan, COPIED)?;
        self.copied = self.copied.saturating_add(size.saturating_mul(copies));
        if size <= SMALL || self.copied <= COPIED || !references(&plan)?.is_empty() {
            return Ok(plan);
        }
        part::shared(plan)
    }

    fn rewrite(&mut self, plan: LogicalPlan) -> Result<LogicalPlan> {
        budget::spend(1)?;
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

/// Returns the qualified names of the columns of a schema.
fn names(schema: &DFSchema) -> Vec<(Option<TableReference>, String)> {
    schema.iter().map(|(qualifier, field)| (qualifier.cloned(), field.name().clone())).collect()
}

/// Projects `plan` to its first columns, named as those of `schema`.
fn called_as(plan: LogicalPlan, schema: &DFSchema) -> Result<LogicalPlan> {
    let columns = plan.schema().columns().into_iter().zip(names(schema));
    let columns: Vec<Expr> =
        columns.map(|(column, (qualifier, name))| named(Expr::Column(column), qualifier, name)).collect();
    LogicalPlanBuilder::from(plan).project(columns)?.build()
}

/// Names `expr` `qualifier.name`, unless it has this name already.
fn named(expr: Expr, qualifier: Option<TableReference>, name: String) -> Expr {
    match &expr {
        Expr::Column(column) if column.relation == qualifier && column.name == name => expr,
        _ => expr.unalias_nested().data.alias_qualified(qualifier, name),
    }
}

/// Returns all columns of `plan`.
fn columns(plan: &LogicalPlan) -> Vec<Expr> {
    plan.schema().columns().into_iter().map(Expr::Column).collect()
}

/// Makes a reference to column `name` of relation `relation`.
fn column(relation: &str, name: impl Into<String>) -> Expr {
    Expr::Column(Column::new(Some(relation.to_owned()), name))
}
