//! Evaluates a correlated subquery for all values of the columns it refers to at once.
//!
//! The **domain** is the distinct values of those columns among the rows of the outer query. It is pushed down the
//! subquery to where the references are. On the way, each operator is changed to work on each value of the domain
//! separately: the domain's columns are added to its grouping keys, partitions or projections. A part without
//! references is paired with the whole domain; later rules turn the pairs and the conditions above them into joins.

use std::sync::Arc;

use arrow::datatypes::DataType;
use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::expr::AggregateFunction;
use datafusion::logical_expr::{
    Aggregate, Distinct, Expr, ExprFunctionExt, FetchType, Join, Limit, LogicalPlan, LogicalPlanBuilder, Operator,
    SkipType, SortExpr, Union, binary_expr, lit, when,
};

use crate::PlanError;
use crate::budget;
use crate::decorrelate::attach::same;
use crate::decorrelate::outer_reference::{Replacements, references, replace};
use crate::decorrelate::{Decorrelation, column, columns, named};

/// The distinct values of some outer columns.
pub(super) struct Domain {
    /// The outer columns.
    pub(super) outer: Vec<Column>,
    /// The column of `plan` for each outer column.
    inner: Vec<Column>,
    plan: LogicalPlan,
    with: Replacements,
}

impl Domain {
    /// Returns whether the subquery refers to no outer column.
    pub(super) fn is_empty(&self) -> bool {
        self.outer.is_empty()
    }

    fn columns(&self) -> Vec<Expr> {
        self.inner.iter().cloned().map(Expr::Column).collect()
    }

    /// Returns the domain's columns under the names `k0`, `k1`, ...
    pub(super) fn key_exprs(&self) -> Vec<Expr> {
        self.columns().into_iter().enumerate().map(|(at, expr)| expr.alias(format!("k{at}"))).collect()
    }
}

impl Decorrelation {
    /// Makes the domain of the columns of `rows` that `subquery` refers to.
    pub(super) fn domain(&mut self, rows: &LogicalPlan, subquery: &LogicalPlan) -> Result<Domain> {
        let mut outer = references(subquery)?;
        outer.retain(|column| rows.schema().has_column(column));
        let alias = self.fresh("d");
        let inner: Vec<Column> =
            (0..outer.len()).map(|at| Column::new(Some(alias.clone()), format!("c{at}"))).collect();
        let with = outer.iter().cloned().zip(inner.iter().cloned()).collect();
        let plan = if outer.is_empty() {
            LogicalPlanBuilder::empty(true).build()?
        } else {
            let exprs = outer.iter().zip(&inner).map(|(outer, inner)| Expr::Column(outer.clone()).alias(&inner.name));
            LogicalPlanBuilder::from(rows.clone()).project(exprs)?.distinct()?.alias(alias.as_str())?.build()?
        };
        Ok(Domain { outer, inner, plan, with })
    }

    /// Evaluates `plan` for each value of the domain; the result has the domain's columns, then those of `plan`.
    pub(super) fn evaluate(&mut self, domain: &Domain, plan: &LogicalPlan) -> Result<LogicalPlan> {
        budget::spend(1)?;
        if !references(plan)?.iter().any(|column| domain.with.contains_key(column)) {
            return match domain.is_empty() {
                true => Ok(plan.clone()),
                false => LogicalPlanBuilder::from(domain.plan.clone()).cross_join(plan.clone())?.build(),
            };
        }
        match plan {
            LogicalPlan::Filter(filter) => {
                let predicate = replace(filter.predicate.clone(), filter.input.schema(), &domain.with)?;
                LogicalPlanBuilder::from(self.evaluate(domain, &filter.input)?).filter(predicate)?.build()
            }
            LogicalPlan::Projection(projection) => {
                let schema = projection.input.schema();
                let exprs = projection.expr.iter().map(|expr| replace(expr.clone(), schema, &domain.with));
                let exprs = exprs.collect::<Result<Vec<_>>>()?;
                let input = self.evaluate(domain, &projection.input)?;
                project_named(input, domain, exprs, plan)
            }
            LogicalPlan::SubqueryAlias(alias) => {
                let input = self.evaluate(domain, &alias.input)?;
                project_named(input, domain, columns(&alias.input), plan)
            }
            LogicalPlan::Subquery(subquery) => self.evaluate(domain, &subquery.subquery),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                LogicalPlanBuilder::from(self.evaluate(domain, input)?).distinct()?.build()
            }
            // Without a limit, the order inside a subquery has no effect.
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => self.evaluate(domain, &sort.input),
            LogicalPlan::Aggregate(aggregate) => self.evaluate_aggregate(domain, aggregate, plan),
            LogicalPlan::Limit(limit) => self.evaluate_limit(domain, limit),
            LogicalPlan::Join(join) => self.evaluate_join(domain, join),
            LogicalPlan::Union(union) => self.evaluate_union(domain, union, plan),
            other => {
                let text = other.display().to_string();
                let kind = text.split([':', ' ', '(']).next().unwrap_or_default().to_owned();
                Err(PlanError::not_maintainable(format!("a correlated subquery with {kind}")).into())
            }
        }
    }

    fn evaluate_aggregate(
        &mut self,
        domain: &Domain,
        aggregate: &Aggregate,
        plan: &LogicalPlan,
    ) -> Result<LogicalPlan> {
        let schema = aggregate.input.schema();
        let replaced = |expr: &Expr| replace(expr.clone(), schema, &domain.with);
        let calls = aggregate.aggr_expr.iter().map(replaced).collect::<Result<Vec<_>>>()?;
        let mut group = domain.columns();
        for expr in &aggregate.group_expr {
            group.push(replaced(expr)?);
        }
        let input = self.evaluate(domain, &aggregate.input)?;
        let grouped = LogicalPlanBuilder::from(input).aggregate(group, calls.clone())?.build()?;
        let results: Vec<Expr> = columns(&grouped).split_off(domain.inner.len());
        if !aggregate.group_expr.is_empty() {
            return project_named(grouped, domain, results, plan);
        }
        // Without GROUP BY there is a row for every value of the domain, even if it has no input rows.
        let alias = self.fresh("g");
        let mut exprs = domain.key_exprs();
        exprs.extend(results.into_iter().enumerate().map(|(at, expr)| expr.alias(format!("a{at}"))));
        let grouped = LogicalPlanBuilder::from(grouped).project(exprs)?.alias(alias.as_str())?.build()?;
        let on = domain.columns().into_iter().enumerate();
        let on: Vec<Expr> = on.map(|(at, expr)| same(expr, column(&alias, format!("k{at}")))).collect();
        let mut exprs = Vec::with_capacity(calls.len());
        for (at, call) in calls.into_iter().enumerate() {
            let result = column(&alias, format!("a{at}"));
            let Expr::AggregateFunction(call) = call.unalias_nested().data else {
                return Err(PlanError::not_maintainable("a correlated subquery with this aggregate").into());
            };
            exprs.push(or_default(result, &call, plan.schema().field(at).data_type())?);
        }
        let joined = LogicalPlanBuilder::from(domain.plan.clone()).join_on(grouped, JoinType::Left, on)?.build()?;
        project_named(joined, domain, exprs, plan)
    }

    /// Keeps the first rows for each value of the domain, by their row number.
    fn evaluate_limit(&mut self, domain: &Domain, limit: &Limit) -> Result<LogicalPlan> {
        let (order, input) = match limit.input.as_ref() {
            LogicalPlan::Sort(sort) if sort.fetch.is_none() => (sort.expr.clone(), sort.input.as_ref()),
            other => (Vec::new(), other),
        };
        let (SkipType::Literal(0), FetchType::Literal(Some(count))) = (limit.get_skip_type()?, limit.get_fetch_type()?)
        else {
            return Err(PlanError::not_maintainable("a correlated subquery with OFFSET").into());
        };
        // ORDER BY of a column that is not selected sorts below the projection, so the limit moves there.
        if let LogicalPlan::Projection(projection) = input
            && order.is_empty()
            && matches!(projection.input.as_ref(), LogicalPlan::Sort(_))
        {
            let below = LogicalPlan::Limit(Limit { input: Arc::clone(&projection.input), ..limit.clone() });
            let exprs = projection.expr.clone();
            let plan = LogicalPlanBuilder::from(below).project(exprs)?.build()?;
            return self.evaluate(domain, &plan);
        }
        let order = order.into_iter().map(|sort| {
            let expr = replace(sort.expr, input.schema(), &domain.with)?;
            Ok(SortExpr { expr, ..sort })
        });
        let order = order.collect::<Result<Vec<_>>>()?;
        let rows = self.evaluate(domain, input)?;
        let outputs = columns(&rows);
        let name = self.fresh("n");
        let number = row_number().partition_by(domain.columns()).order_by(order).build()?.alias(&name);
        let count = lit(u64::try_from(count).unwrap_or(u64::MAX));
        LogicalPlanBuilder::from(rows)
            .window([number])?
            .filter(Expr::Column(Column::new_unqualified(name)).lt_eq(count))?
            .project(outputs)?
            .build()
    }

    fn evaluate_join(&mut self, domain: &Domain, join: &Join) -> Result<LogicalPlan> {
        let equals = match join.null_equality {
            NullEquality::NullEqualsNothing => Operator::Eq,
            NullEquality::NullEqualsNull => Operator::IsNotDistinctFrom,
        };
        let scope = join.left.schema().join(join.right.schema())?;
        let on = join.on.iter().map(|(a, b)| binary_expr(a.clone(), equals, b.clone())).chain(join.filter.clone());
        let mut on = on.map(|expr| replace(expr, &scope, &domain.with)).collect::<Result<Vec<_>>>()?;
        let refers = |plan: &LogicalPlan| -> Result<bool> {
            Ok(references(plan)?.iter().any(|column| domain.with.contains_key(column)))
        };
        let left_rows = matches!(join.join_type, JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti);
        let right = refers(&join.right)?;
        if join.null_aware || !(join.join_type == JoinType::Inner || left_rows) {
            let text = format!("a correlated subquery with a {} join", join.join_type);
            return Err(PlanError::not_maintainable(text).into());
        }
        if !right {
            // Conditions may refer to the domain too, whose columns are on the left.
            if on.is_empty() {
                on.push(lit(true));
            }
            let left = match refers(&join.left)? {
                true => self.evaluate(domain, &join.left)?,
                false => {
                    LogicalPlanBuilder::from(domain.plan.clone()).cross_join(join.left.as_ref().clone())?.build()?
                }
            };
            let joined = LogicalPlanBuilder::from(left).join_on(join.right.as_ref().clone(), join.join_type, on)?;
            return joined.build();
        }
        if join.join_type == JoinType::Inner && !refers(&join.left)? {
            let right = self.evaluate(domain, &join.right)?;
            on.push(lit(true));
            return LogicalPlanBuilder::from(join.left.as_ref().clone()).join_on(right, JoinType::Inner, on)?.build();
        }
        Err(PlanError::not_maintainable("a correlated subquery that refers to the outer query in both sides of a join")
            .into())
    }

    fn evaluate_union(&mut self, domain: &Domain, union: &Union, plan: &LogicalPlan) -> Result<LogicalPlan> {
        let mut branches: Option<LogicalPlanBuilder> = None;
        for input in &union.inputs {
            let branch = self.evaluate(domain, input)?;
            let branch = project_named(branch, domain, columns(input), plan)?;
            branches = Some(match branches {
                None => LogicalPlanBuilder::from(branch),
                Some(others) => others.union(branch)?,
            });
        }
        let Some(branches) = branches else {
            return Err(PlanError::invalid("a union of nothing").into());
        };
        let united = branches.build()?;
        // A union loses the qualifiers of its columns.
        let mut exprs = columns(&united);
        let results = exprs.split_off(domain.inner.len());
        let keys = exprs.into_iter().zip(&domain.inner);
        let mut exprs: Vec<Expr> =
            keys.map(|(expr, key)| named(expr, key.relation.clone(), key.name.clone())).collect();
        let names = plan.schema().iter();
        exprs.extend(results.into_iter().zip(names).map(|(expr, (q, f))| named(expr, q.cloned(), f.name().clone())));
        LogicalPlanBuilder::from(united).project(exprs)?.build()
    }
}

/// Returns `result` of `call` or, where its row is missing, the value over no rows. If that value is not NULL, as for
/// COUNT, the result is NULL only where its row is missing.
pub(super) fn or_default(result: Expr, call: &AggregateFunction, data_type: &DataType) -> Result<Expr> {
    let empty = call.func.default_value(data_type)?;
    if empty.is_null() {
        return Ok(result);
    }
    when(result.clone().is_null(), lit(empty)).otherwise(result)
}

/// Projects to the domain's columns and `exprs`, which are named like the columns of `like`.
fn project_named(input: LogicalPlan, domain: &Domain, exprs: Vec<Expr>, like: &LogicalPlan) -> Result<LogicalPlan> {
    let mut all = domain.columns();
    let names = like.schema().iter();
    all.extend(
        exprs
            .into_iter()
            .zip(names)
            .map(|(expr, (qualifier, field))| named(expr, qualifier.cloned(), field.name().clone())),
    );
    LogicalPlanBuilder::from(input).project(all)?.build()
}
