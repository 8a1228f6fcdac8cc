//! Turns subqueries in ON into columns of the side that they refer to.
//!
//! A subquery that refers to both sides of an outer join is evaluated for the pairs that satisfy the other conditions.
//! The side that need not keep all its rows is then joined with the values:
//!
//! ```text
//! l LEFT JOIN r ON p AND v(l.a, r.b)
//! l LEFT JOIN (r JOIN s ON r.b = s.b) ON p AND l.a = s.a AND s.v
//!     where s is the distinct (a, b) of l JOIN r ON p, each with its v
//! ```

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Column, DFSchema, JoinType, NullEquality, Result};
use datafusion::logical_expr::utils::{conjunction, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, Join, LogicalPlan, LogicalPlanBuilder, Operator, binary_expr, lit};

use crate::PlanError;
use crate::decorrelate::attach::same;
use crate::decorrelate::outer_reference::{has_subquery, references, subquery_of};
use crate::decorrelate::three_valued::with_exists;
use crate::decorrelate::{Decorrelation, column, columns};
use crate::function::without_may_be_null;

/// The sides of a join while its condition is rewritten.
struct Sides {
    left: LogicalPlan,
    right: LogicalPlan,
    join_type: JoinType,
    /// The conditions without subqueries.
    plain: Vec<Expr>,
    /// Conditions that pair rows with the values of subqueries that refer to both sides.
    paired: Vec<Expr>,
}

impl Decorrelation {
    pub(super) fn rewrite_join(&mut self, join: Join) -> Result<LogicalPlan> {
        let (conditions, plain): (Vec<Expr>, Vec<Expr>) = conditions(&join).into_iter().partition(has_subquery);
        let outputs = columns(&LogicalPlan::Join(join.clone()));
        let Join { left, right, join_type, .. } = join;
        let (left, right) = (Arc::unwrap_or_clone(left), Arc::unwrap_or_clone(right));
        // The condition of an inner join is a filter on its pairs.
        if join_type == JoinType::Inner {
            let input = Arc::new(joined(left, right, join_type, plain)?);
            let Some(predicate) = conjunction(conditions) else { return Ok(Arc::unwrap_or_clone(input)) };
            return self.rewrite_filter(Filter::try_new(predicate, input)?);
        }
        let scope = left.schema().join(right.schema())?;
        let mut sides = Sides { left, right, join_type, plain, paired: Vec::new() };
        let mut on = Vec::with_capacity(conditions.len());
        for condition in conditions {
            on.push(self.extract_condition(&mut sides, condition, &scope)?);
        }
        on.extend(sides.plain);
        on.extend(sides.paired);
        let plan = joined(sides.left, sides.right, join_type, on)?;
        LogicalPlanBuilder::from(plan).project(outputs)?.build()
    }

    /// Turns the subqueries of `condition`, which is over `scope`, into columns of the sides.
    fn extract_condition(&mut self, sides: &mut Sides, condition: Expr, scope: &DFSchema) -> Result<Expr> {
        let replaced = with_exists(condition, scope)?.transform_down(|expr| {
            let unmarked = without_may_be_null(&expr);
            let Some(subquery) = subquery_of(unmarked) else { return Ok(Transformed::no(expr)) };
            let outer = references(&subquery.subquery)?;
            let of = |side: &LogicalPlan| outer.iter().any(|column| side.schema().has_column(column));
            let value = match (of(&sides.left), of(&sides.right)) {
                (_, false) => {
                    let rows = self.copied(std::mem::take(&mut sides.left), 2)?;
                    sides.left = rows.clone();
                    self.value_of(&rows, &mut sides.left, unmarked)?
                }
                (false, true) => {
                    let rows = self.copied(std::mem::take(&mut sides.right), 2)?;
                    sides.right = rows.clone();
                    self.value_of(&rows, &mut sides.right, unmarked)?
                }
                (true, true) => self.value_of_pairs(sides, unmarked, &outer)?,
            };
            Ok(match value {
                Some(value) => Transformed::new(value, true, TreeNodeRecursion::Jump),
                None => Transformed::new(expr, false, TreeNodeRecursion::Jump),
            })
        })?;
        Ok(replaced.data)
    }

    /// Joins the value of a subquery that refers to both sides, by the columns `outer`, to one of them.
    fn value_of_pairs(&mut self, sides: &mut Sides, expr: &Expr, outer: &[Column]) -> Result<Option<Expr>> {
        let keeps_left = match sides.join_type {
            JoinType::Left | JoinType::LeftSemi | JoinType::LeftAnti => true,
            JoinType::Right | JoinType::RightSemi | JoinType::RightAnti => false,
            other => {
                let construct = format!("a subquery that refers to both sides of a {other} join in its ON");
                return Err(PlanError::not_maintainable(construct).into());
            }
        };
        sides.left = self.copied(std::mem::take(&mut sides.left), 1)?;
        sides.right = self.copied(std::mem::take(&mut sides.right), 1)?;
        let pairs = joined(sides.left.clone(), sides.right.clone(), JoinType::Inner, sides.plain.clone())?;
        let referred: Vec<Column> = outer.iter().filter(|column| pairs.schema().has_column(column)).cloned().collect();
        let referred_exprs = referred.iter().cloned().map(Expr::Column);
        let mut values = LogicalPlanBuilder::from(pairs).project(referred_exprs)?.distinct()?.build()?;
        values = self.copied(values, 2)?;
        let rows = values.clone();
        let Some(value) = self.value_of(&rows, &mut values, expr)? else { return Ok(None) };
        let alias = self.fresh("p");
        let keys = referred.iter().cloned().enumerate();
        let exprs = keys.map(|(at, key)| Expr::Column(key).alias(format!("k{at}"))).chain([value.alias("v")]);
        let exprs: Vec<Expr> = exprs.collect();
        let values = LogicalPlanBuilder::from(values).project(exprs)?.alias(alias.as_str())?.build()?;
        let other = if keeps_left { &mut sides.right } else { &mut sides.left };
        let mut on = Vec::new();
        for (at, key) in referred.into_iter().enumerate() {
            let is_of_other = other.schema().has_column(&key);
            let equal = same(Expr::Column(key), column(&alias, format!("k{at}")));
            if is_of_other { on.push(equal) } else { sides.paired.push(equal) }
        }
        *other = joined(std::mem::take(other), values, JoinType::Inner, on)?;
        Ok(Some(column(&alias, "v")))
    }
}

/// Returns the conditions of a join.
fn conditions(join: &Join) -> Vec<Expr> {
    let equals = match join.null_equality {
        NullEquality::NullEqualsNothing => Operator::Eq,
        NullEquality::NullEqualsNull => Operator::IsNotDistinctFrom,
    };
    let on = join.on.iter().map(|(left, right)| binary_expr(left.clone(), equals, right.clone()));
    on.chain(join.filter.clone().into_iter().flat_map(split_conjunction_owned)).collect()
}

fn joined(left: LogicalPlan, right: LogicalPlan, join_type: JoinType, mut on: Vec<Expr>) -> Result<LogicalPlan> {
    if on.is_empty() {
        on.push(lit(true));
    }
    LogicalPlanBuilder::from(left).join_on(right, join_type, on)?.build()
}
