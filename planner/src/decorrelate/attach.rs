//! Turns EXISTS and scalar subqueries into columns of a left join.

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, JoinType, Result};
use datafusion::logical_expr::{Expr, Limit, LogicalPlan, LogicalPlanBuilder, Operator, binary_expr, lit};

use crate::PlanError;
use crate::decorrelate::domain::Domain;
use crate::decorrelate::outer_reference::{references, subquery_of};
use crate::decorrelate::three_valued::with_exists;
use crate::decorrelate::{Decorrelation, column};
use crate::function::without_may_be_null;

impl Decorrelation {
    /// Joins the subqueries of `expr` to `input`; returns the new input and `expr` over its columns. `rows` must have
    /// the columns that the subqueries refer to, with all their values in `input`.
    pub(super) fn extract(
        &mut self,
        rows: &LogicalPlan,
        input: LogicalPlan,
        expr: Expr,
    ) -> Result<(LogicalPlan, Expr)> {
        let expr = with_exists(expr, input.schema())?;
        let mut input = input;
        let expr = expr.transform_down(|expr| {
            // The mark is not needed any more: a column of a left join is nullable by itself.
            let unmarked = without_may_be_null(&expr);
            if subquery_of(unmarked).is_none() {
                return Ok(Transformed::no(expr));
            }
            Ok(match self.value_of(rows, &mut input, unmarked)? {
                Some(value) => Transformed::new(value, true, TreeNodeRecursion::Jump),
                None => Transformed::new(expr, false, TreeNodeRecursion::Jump),
            })
        })?;
        Ok((input, expr.data))
    }

    /// Joins an EXISTS or scalar subquery, which refers to columns of `rows`, to `input` and returns its value; `None` if
    /// it is left as it is.
    pub(super) fn value_of(
        &mut self,
        rows: &LogicalPlan,
        input: &mut LogicalPlan,
        expr: &Expr,
    ) -> Result<Option<Expr>> {
        let Some(subquery) = subquery_of(expr) else { return Ok(None) };
        let plan = subquery.subquery.as_ref().clone();
        if let Expr::Exists(exists) = expr {
            let found = match self.attach_keys(input, &plan)? {
                Some(found) => found,
                None => Expr::Column(self.attach(rows, input, &plan, Value::Exists)?),
            };
            return Ok(Some(if exists.negated { found.is_null() } else { found.is_not_null() }));
        }
        match cardinality(&plan) {
            Cardinality::One | Cardinality::AtMostOne => Ok(Some(match self.attach_aggregate(input, &plan)? {
                Some(value) => value,
                None => Expr::Column(self.attach(rows, input, &plan, Value::Scalar)?),
            })),
            Cardinality::Any if references(&plan)?.is_empty() => Ok(None),
            Cardinality::Any => Err(PlanError::NotMaintainable {
                construct: "a correlated scalar subquery that can return more than one row".to_owned(),
                position: None,
                hint: Some("aggregate it, or end it with LIMIT 1".to_owned()),
            }
            .into()),
        }
    }

    /// Joins the value of a subquery to `input` and returns its column. For EXISTS it is true or NULL.
    fn attach(
        &mut self,
        rows: &LogicalPlan,
        input: &mut LogicalPlan,
        subquery: &LogicalPlan,
        value: Value,
    ) -> Result<Column> {
        let alias = self.fresh("s");
        let domain = self.domain(rows, subquery)?;
        let evaluated = self.evaluate(&domain, subquery)?;
        let mut exprs = domain.key_exprs();
        exprs.push(match value {
            Value::Exists => lit(true).alias("v"),
            Value::Scalar => {
                let Some(column) = subquery.schema().columns().into_iter().next() else {
                    return Err(PlanError::invalid("a scalar subquery needs a column").into());
                };
                Expr::Column(column).alias("v")
            }
        });
        let mut plan = LogicalPlanBuilder::from(evaluated).project(exprs)?;
        if let Value::Exists = value {
            plan = plan.distinct()?;
        }
        let plan = plan.alias(alias.as_str())?.build()?;
        let plan = self.rewrite(plan)?;
        let joined = LogicalPlanBuilder::from(std::mem::take(input));
        *input = if domain.is_empty() && matches!((value, cardinality(subquery)), (Value::Scalar, Cardinality::One)) {
            joined.cross_join(plan)?.build()?
        } else {
            joined.join_on(plan, JoinType::Left, domain.join_conditions(&alias))?.build()?
        };
        Ok(Column::new(Some(alias), "v"))
    }
}

#[derive(Clone, Copy)]
enum Value {
    Exists,
    Scalar,
}

/// How many rows a subquery has for one row of the outer query.
enum Cardinality {
    One,
    AtMostOne,
    Any,
}

/// Returns whether a subquery has exactly one row for every row of the outer query.
pub(crate) fn is_one_row(plan: &LogicalPlan) -> bool {
    matches!(cardinality(plan), Cardinality::One)
}

fn cardinality(plan: &LogicalPlan) -> Cardinality {
    match plan {
        LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty() => Cardinality::One,
        LogicalPlan::EmptyRelation(empty) if empty.produce_one_row => Cardinality::One,
        LogicalPlan::EmptyRelation(_) => Cardinality::AtMostOne,
        LogicalPlan::Limit(limit) if at_most_one(limit) => Cardinality::AtMostOne,
        LogicalPlan::Projection(projection) => cardinality(&projection.input),
        LogicalPlan::SubqueryAlias(alias) => cardinality(&alias.input),
        LogicalPlan::Subquery(subquery) => cardinality(&subquery.subquery),
        LogicalPlan::Sort(sort) => cardinality(&sort.input),
        LogicalPlan::Distinct(distinct) => cardinality(distinct.input()),
        LogicalPlan::Filter(filter) => match cardinality(&filter.input) {
            Cardinality::Any => Cardinality::Any,
            _ => Cardinality::AtMostOne,
        },
        _ => Cardinality::Any,
    }
}

fn at_most_one(limit: &Limit) -> bool {
    use datafusion::logical_expr::FetchType;
    matches!(limit.get_fetch_type(), Ok(FetchType::Literal(Some(0 | 1))))
}

/// Makes `a IS NOT DISTINCT FROM b`.
pub(super) fn same(a: Expr, b: Expr) -> Expr {
    binary_expr(a, Operator::IsNotDistinctFrom, b)
}

impl Domain {
    /// Returns the conditions that join the outer query with `alias`, whose columns must begin with the domain's.
    pub(super) fn join_conditions(&self, alias: &str) -> Vec<Expr> {
        if self.is_empty() {
            return vec![lit(true)];
        }
        let keys = self.outer.iter().enumerate();
        keys.map(|(at, outer)| same(Expr::Column(outer.clone()), column(alias, format!("k{at}")))).collect()
    }
}
