//! Rewrites GROUPING SETS as a union of groupings, one for each set, and `grouping()` as what it is in each.
//!
//! ```text
//! GROUP BY GROUPING SETS ((a), ())    SELECT a, count(*), 0 ... GROUP BY a
//!                                     UNION ALL
//!                                     SELECT NULL, count(*), 1 ...
//! ```

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::expr::GroupingSet;
use datafusion::logical_expr::{
    Aggregate, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Projection, Union, lit,
};

use super::semantics;
use crate::decorrelate::references;
use crate::error::PlanError;
use crate::part::shared;

/// The function that tells which keys a row is not grouped by.
const GROUPING: &str = "grouping";

/// Rewrites the groupings of `plan` and of its subqueries; `coerced` is applied to what several groupings read.
pub(super) fn apply(
    plan: LogicalPlan,
    coerced: &dyn Fn(LogicalPlan) -> Result<LogicalPlan, PlanError>,
) -> Result<LogicalPlan, PlanError> {
    let rewritten = plan.transform_down_with_subqueries(|node| match node {
        LogicalPlan::Aggregate(aggregate) => of_aggregate(aggregate, coerced),
        other => Ok(Transformed::no(other)),
    })?;
    if !rewritten.transformed {
        return Ok(rewritten.data);
    }
    // The type of `grouping()` has changed, and what reads it knows the type.
    Ok(rewritten.data.transform_up_with_subqueries(semantics::with_new_schema)?.data)
}

fn of_aggregate(
    aggregate: Aggregate,
    coerced: &dyn Fn(LogicalPlan) -> Result<LogicalPlan, PlanError>,
) -> Result<Transformed<LogicalPlan>> {
    let sets: Vec<Vec<Expr>> = match aggregate.group_expr.as_slice() {
        [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] => sets.clone(),
        _ if aggregate.aggr_expr.iter().any(|expr| grouping(expr).is_some()) => vec![aggregate.group_expr.clone()],
        _ => return Ok(Transformed::no(LogicalPlan::Aggregate(aggregate))),
    };
    let mut keys: Vec<Expr> = Vec::new();
    for key in sets.iter().flatten() {
        if !keys.contains(key) {
            keys.push(key.clone());
        }
    }
    let mut input = Arc::unwrap_or_clone(aggregate.input);
    // A part refers to no outer query.
    if sets.len() > 1 && references(&input)?.is_empty() {
        input = shared(coerced(input)?)?;
    }
    let input = Arc::new(input);
    let branches = sets.iter().map(|set| Ok(Arc::new(branch(&input, set, &keys, &aggregate.aggr_expr)?)));
    let mut branches = branches.collect::<Result<Vec<_>>>()?;
    let union = match branches.len() {
        1 => branches.swap_remove(0),
        _ => Arc::new(LogicalPlan::Union(Union::try_new(branches)?)),
    };
    // DataFusion has a column more, with the number of the set, between the keys and the aggregates.
    let names = aggregate.schema.columns();
    let (of_keys, of_others) = names.split_at(keys.len());
    let of_aggregates = &of_others[of_others.len() - aggregate.aggr_expr.len()..];
    let columns = union.schema().columns().into_iter().zip(of_keys.iter().chain(of_aggregates));
    let columns =
        columns.map(|(column, name)| Expr::Column(column).alias_qualified(name.relation.clone(), name.name.clone()));
    let columns = columns.collect();
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(columns, union)?)))
}

/// Groups `input` by one set. The columns are all `keys`, NULL where the set has them not, and then the aggregates.
fn branch(input: &Arc<LogicalPlan>, set: &[Expr], keys: &[Expr], aggregates: &[Expr]) -> Result<LogicalPlan> {
    let group: Vec<Expr> = keys.iter().filter(|key| set.contains(key)).cloned().collect();
    let calls: Vec<Expr> = aggregates.iter().filter(|expr| grouping(expr).is_none()).cloned().collect();
    let grouped = match group.is_empty() && calls.is_empty() {
        // Without a key there is one group, also of no rows.
        true => LogicalPlanBuilder::empty(true).build()?,
        false => LogicalPlan::Aggregate(Aggregate::try_new(Arc::clone(input), group, calls)?),
    };
    let mut columns = grouped.schema().columns().into_iter().map(Expr::Column);
    let mut next = || columns.next().expect("a column for each key of the set and each aggregate");
    let mut values = Vec::with_capacity(keys.len() + aggregates.len());
    for key in keys {
        values.push(match set.contains(key) {
            true => next(),
            false => Expr::Literal(ScalarValue::try_from(&key.get_type(input.schema())?)?, None),
        });
    }
    for aggregate in aggregates {
        values.push(match grouping(aggregate) {
            Some(args) => lit(bits(args, set, keys)?),
            None => next(),
        });
    }
    // Not `c0`, `c1`, ...: these names have the columns of outer queries that a correlated subquery gets here.
    let values = values.into_iter().enumerate().map(|(at, value)| value.alias(format!("set{at}"))).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(values, Arc::new(grouped))?))
}

/// Returns the arguments if `expr` is a call of `grouping`.
fn grouping(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::Alias(alias) => grouping(&alias.expr),
        Expr::AggregateFunction(call) if call.func.name() == GROUPING => Some(&call.params.args),
        _ => None,
    }
}

/// Returns a bit for each argument, the last one the lowest, which is set if the set does not have the key.
fn bits(args: &[Expr], set: &[Expr], keys: &[Expr]) -> Result<i64> {
    if args.is_empty() || args.len() > 63 {
        return Err(PlanError::invalid("grouping() takes between 1 and 63 keys of GROUP BY").into());
    }
    args.iter().try_fold(0, |bits, arg| match keys.contains(arg) {
        true => Ok(bits << 1 | i64::from(!set.contains(arg))),
        false => Err(PlanError::invalid("an argument of grouping() is not a key of GROUP BY").into()),
    })
}
