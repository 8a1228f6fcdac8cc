//! Decorrelates subqueries that are correlated by equalities only: their rows are grouped by the equated expressions
//! and joined by these keys.
//!
//! ```text
//! (SELECT max(u.w) FROM u WHERE u.k = t.k)
//!     =  a.m  of  t LEFT JOIN (SELECT k, max(w) AS m FROM u GROUP BY k) a ON a.k = t.k
//! ```

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, Result};
use datafusion::logical_expr::{
    Aggregate, BinaryExpr, Expr, LogicalPlan, LogicalPlanBuilder, Operator, binary_expr, lit,
};

use crate::decorrelate::domain::or_default;
use crate::decorrelate::outer_reference::references;
use crate::decorrelate::pull_up::{PulledUp, pull_up};
use crate::decorrelate::{Decorrelation, column};

/// An equality between the outer query and the subquery.
struct CorrelationKey {
    outer: Expr,
    inner: Expr,
    op: Operator,
}

impl Decorrelation {
    /// Joins to `input` whether `subquery` has rows; returns a value that is NULL exactly if it has none. Returns
    /// `None` if the subquery is correlated by anything but equalities, or not at all.
    pub(super) fn attach_keys(&mut self, input: &mut LogicalPlan, subquery: &LogicalPlan) -> Result<Option<Expr>> {
        let Some(pulled) = pull_up(subquery)? else { return Ok(None) };
        let Some(keys) = keys(&pulled) else { return Ok(None) };
        let alias = self.fresh("s");
        let mut exprs: Vec<Expr> = inner_keys(&keys);
        exprs.push(lit(true).alias("v"));
        let plan = LogicalPlanBuilder::from(pulled.base).project(exprs)?.distinct()?.alias(alias.as_str())?.build()?;
        self.join_by_key(input, plan, &keys, &alias)?;
        Ok(Some(column(&alias, "v")))
    }

    /// Joins the aggregates of `subquery` to `input` and returns its value over them. Returns `None` unless it consists
    /// of projections of aggregates over all rows and is correlated by equalities.
    pub(super) fn attach_aggregate(&mut self, input: &mut LogicalPlan, subquery: &LogicalPlan) -> Result<Option<Expr>> {
        let Some((value, aggregate)) = over_aggregate(subquery) else { return Ok(None) };
        let correlated = |expr: &Expr| expr.exists(|expr| Ok(matches!(expr, Expr::OuterReferenceColumn(..))));
        for call in &aggregate.aggr_expr {
            if correlated(call)? || super::has_subquery(call) {
                return Ok(None);
            }
        }
        let Some(pulled) = pull_up(&aggregate.input)? else { return Ok(None) };
        let Some(keys) = keys(&pulled) else { return Ok(None) };
        // The calls use the columns of the aggregate's input, which must be those of the base: only filters keep them.
        if !only_filters(&aggregate.input)? {
            return Ok(None);
        }
        let alias = self.fresh("s");
        let calls = aggregate.aggr_expr.clone();
        let grouped = LogicalPlanBuilder::from(pulled.base).project_keys(&keys, &aggregate.input)?;
        let group: Vec<Expr> = (0..keys.len()).map(|at| Expr::Column(Column::new_unqualified(key_name(at)))).collect();
        let grouped = grouped.aggregate(group.clone(), calls)?.build()?;
        let mut exprs: Vec<Expr> = group;
        let results = grouped.schema().columns().split_off(keys.len());
        exprs.extend(results.into_iter().enumerate().map(|(at, result)| Expr::Column(result).alias(format!("a{at}"))));
        let plan = LogicalPlanBuilder::from(grouped).project(exprs)?.alias(alias.as_str())?.build()?;
        self.join_by_key(input, plan, &keys, &alias)?;
        // For a key without rows the left join gives NULL, where an aggregate such as COUNT has another value.
        let mut defaults = Vec::with_capacity(aggregate.aggr_expr.len());
        for (at, call) in aggregate.aggr_expr.iter().enumerate() {
            let Expr::AggregateFunction(call) = call.clone().unalias_nested().data else { return Ok(None) };
            let data_type = aggregate.schema.field(at).data_type();
            defaults.push(or_default(column(&alias, format!("a{at}")), &call, data_type)?);
        }
        let value = value.transform_up(|expr| {
            Ok(match expr {
                Expr::Column(result) => {
                    let at = aggregate.schema.index_of_column(&result)?;
                    Transformed::new(defaults[at].clone(), true, TreeNodeRecursion::Continue)
                }
                other => Transformed::no(other),
            })
        })?;
        Ok(Some(value.data))
    }

    fn join_by_key(
        &mut self,
        input: &mut LogicalPlan,
        plan: LogicalPlan,
        keys: &[CorrelationKey],
        alias: &str,
    ) -> Result<()> {
        let plan = self.rewrite(plan)?;
        let on = keys
            .iter()
            .enumerate()
            .map(|(at, key)| binary_expr(key.outer.clone(), key.op, column(alias, key_name(at))));
        let on: Vec<Expr> = on.collect();
        *input = LogicalPlanBuilder::from(std::mem::take(input)).join_on(plan, JoinType::Left, on)?.build()?;
        Ok(())
    }
}

trait ProjectKeys: Sized {
    // A trait, so that it can be called in a chain of the builder's methods.
    /// Projects to all columns of `like`, followed by the keys.
    fn project_keys(self, keys: &[CorrelationKey], like: &LogicalPlan) -> Result<Self>;
}

impl ProjectKeys for LogicalPlanBuilder {
    fn project_keys(self, keys: &[CorrelationKey], like: &LogicalPlan) -> Result<Self> {
        let columns = like.schema().columns().into_iter().map(Expr::Column);
        self.project(columns.chain(inner_keys(keys)).collect::<Vec<_>>())
    }
}

fn key_name(at: usize) -> String {
    format!("k{at}")
}

fn inner_keys(keys: &[CorrelationKey]) -> Vec<Expr> {
    keys.iter().enumerate().map(|(at, key)| key.inner.clone().alias(key_name(at))).collect()
}

/// Returns the conditions as equalities; `None` if there are no conditions or one is not an equality.
fn keys(pulled: &PulledUp) -> Option<Vec<CorrelationKey>> {
    let keys: Vec<CorrelationKey> = pulled.conditions.iter().map(key).collect::<Option<_>>()?;
    (!keys.is_empty()).then_some(keys)
}

fn key(condition: &Expr) -> Option<CorrelationKey> {
    let Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Eq | Operator::IsNotDistinctFrom), right }) = condition
    else {
        return None;
    };
    let has = |expr: &Expr, outer: bool| {
        let found = expr.exists(|expr| {
            Ok(match expr {
                Expr::OuterReferenceColumn(..) => outer,
                Expr::Column(_) => !outer,
                _ => false,
            })
        });
        found.expect("the visitor does not fail")
    };
    let (outer, inner) = match (has(left, true), has(right, true)) {
        (true, false) => (left, right),
        (false, true) => (right, left),
        _ => return None,
    };
    // A side with columns of both queries cannot be computed on either; a side without columns is not a key.
    if has(outer, false) || !has(inner, false) {
        return None;
    }
    let outer = outer.as_ref().clone().transform_up(|expr| {
        Ok(match expr {
            Expr::OuterReferenceColumn(_, column) => Transformed::yes(Expr::Column(column)),
            other => Transformed::no(other),
        })
    });
    Some(CorrelationKey { outer: outer.ok()?.data, inner: inner.as_ref().clone(), op: *op })
}

/// Returns the value of a subquery over aggregates of all its rows, and the node of these aggregates.
fn over_aggregate(plan: &LogicalPlan) -> Option<(Expr, &Aggregate)> {
    match plan {
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => {
            let first = aggregate.schema.columns().into_iter().next()?;
            Some((Expr::Column(first), aggregate))
        }
        LogicalPlan::Projection(projection) => {
            let LogicalPlan::Aggregate(aggregate) = projection.input.as_ref() else { return None };
            let value = projection.expr.first()?.clone().unalias_nested().data;
            let outer = value.exists(|expr| Ok(matches!(expr, Expr::OuterReferenceColumn(..))));
            let plain = aggregate.group_expr.is_empty() && !super::has_subquery(&value) && !outer.ok()?;
            plain.then_some((value, aggregate))
        }
        LogicalPlan::SubqueryAlias(alias) => over_aggregate(&alias.input),
        LogicalPlan::Subquery(subquery) => over_aggregate(&subquery.subquery),
        _ => None,
    }
}

/// Returns whether `plan` consists of filters over a plan that refers to no outer query.
fn only_filters(plan: &LogicalPlan) -> Result<bool> {
    Ok(match plan {
        LogicalPlan::Filter(filter) => only_filters(&filter.input)?,
        other => references(other)?.is_empty(),
    })
}
