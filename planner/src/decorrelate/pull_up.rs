//! Splits subqueries that consist of filters and projections over a plan without outer references: their correlated
//! conditions are removed and become conditions of a join.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::utils::split_conjunction;
use datafusion::logical_expr::{Distinct, Expr, LogicalPlan, LogicalPlanBuilder};

use crate::decorrelate::outer_reference::{expression_references, has_subquery, references};

/// The parts of a subquery. Expressions are over the columns of `base` and still contain outer references.
pub(super) struct PulledUp {
    /// The plan below; it refers to no outer query.
    pub(super) base: LogicalPlan,
    /// The conditions that refer to the outer query.
    pub(super) conditions: Vec<Expr>,
    /// The subquery's columns.
    pub(super) outputs: Vec<Expr>,
}

/// Splits `plan`, ignoring the order and the repetition of its rows; `None` if it has another form.
pub(super) fn pull_up(plan: &LogicalPlan) -> Result<Option<PulledUp>> {
    if references(plan)?.is_empty() {
        let outputs = plan.schema().columns().into_iter().map(Expr::Column).collect();
        return Ok(Some(PulledUp { base: plan.clone(), conditions: Vec::new(), outputs }));
    }
    match plan {
        LogicalPlan::Projection(projection) if !projection.expr.iter().any(has_subquery) => {
            let Some(below) = pull_up(&projection.input)? else { return Ok(None) };
            let schema = projection.input.schema();
            let outputs = projection.expr.iter().map(|expr| over_base(expr, schema, &below.outputs));
            Ok(Some(PulledUp { outputs: outputs.collect::<Result<_>>()?, ..below }))
        }
        LogicalPlan::Filter(filter) if !has_subquery(&filter.predicate) => {
            let Some(mut below) = pull_up(&filter.input)? else { return Ok(None) };
            let schema = filter.input.schema();
            let mut own: Option<Expr> = None;
            for conjunct in split_conjunction(&filter.predicate) {
                let mut found = Vec::new();
                expression_references(conjunct, schema, &mut found)?;
                let conjunct = over_base(conjunct, schema, &below.outputs)?;
                let mut mapped = Vec::new();
                expression_references(&conjunct, schema, &mut mapped)?;
                if mapped.is_empty() {
                    own = Some(own.map_or(conjunct.clone(), |own| own.and(conjunct)));
                } else {
                    below.conditions.push(conjunct);
                }
            }
            if let Some(own) = own {
                below.base = LogicalPlanBuilder::from(below.base).filter(own)?.build()?;
            }
            Ok(Some(below))
        }
        LogicalPlan::SubqueryAlias(alias) => pull_up(&alias.input),
        LogicalPlan::Subquery(subquery) => pull_up(&subquery.subquery),
        LogicalPlan::Distinct(Distinct::All(input)) => pull_up(input),
        LogicalPlan::Sort(sort) if sort.fetch.is_none() => pull_up(&sort.input),
        _ => Ok(None),
    }
}

/// Replaces the columns of `schema` in `expr` by their expressions over the base.
fn over_base(expr: &Expr, schema: &Arc<DFSchema>, outputs: &[Expr]) -> Result<Expr> {
    let replaced = expr.clone().unalias_nested().data.transform_up(|expr| {
        Ok(match expr {
            Expr::Column(column) => Transformed::yes(outputs[schema.index_of_column(&column)?].clone()),
            other => Transformed::no(other),
        })
    })?;
    Ok(replaced.data)
}

impl PulledUp {
    /// Renames the base to `alias` and its columns to `c0`, `c1`, ...; also returns a function that rewrites an
    /// expression over the base and the outer query to one over the join of the two.
    pub(super) fn renamed(&self, alias: &str) -> Result<(LogicalPlan, impl Fn(Expr) -> Result<Expr> + use<>)> {
        let schema = Arc::clone(self.base.schema());
        let exprs = schema.columns().into_iter().enumerate().map(|(at, column)| Expr::Column(column).alias(name(at)));
        let plan = LogicalPlanBuilder::from(self.base.clone()).project(exprs.collect::<Vec<_>>())?;
        let plan = plan.alias(alias)?.build()?;
        let alias = alias.to_owned();
        let over_join = move |expr: Expr| {
            let replaced = expr.transform_up(|expr| {
                Ok(match expr {
                    Expr::Column(column) => {
                        let at = schema.index_of_column(&column)?;
                        Transformed::yes(Expr::Column(Column::new(Some(alias.clone()), name(at))))
                    }
                    Expr::OuterReferenceColumn(_, column) => Transformed::yes(Expr::Column(column)),
                    other => Transformed::no(other),
                })
            })?;
            Ok(replaced.data)
        };
        Ok((plan, over_join))
    }
}

fn name(at: usize) -> String {
    format!("c{at}")
}
