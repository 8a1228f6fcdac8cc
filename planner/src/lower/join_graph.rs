//! Flattens a tree of inner joins into a graph: leaves, and predicates over the columns of all leaves.

use std::collections::BTreeSet;

use datafusion::common::{JoinType, NullEquality};
use datafusion::logical_expr::{BinaryExpr, Expr, Join, LogicalPlan, Operator, binary_expr};

use crate::PlanError;
use crate::lower::refuse;
use crate::lower::relation::{Demand, plain_position, positional, positions};
use crate::rewrite::movable;

/// The leaves and predicates of inner joins. Graph columns number the columns of all leaves consecutively.
#[derive(Default)]
pub(super) struct JoinGraph<'a> {
    pub(super) leaves: Vec<Leaf<'a>>,
    pub(super) predicates: Vec<Predicate>,
    columns: usize,
}

/// An input of the joins that is not itself an inner join.
pub(super) struct Leaf<'a> {
    pub(super) plan: &'a LogicalPlan,
    /// The graph column of the leaf's first column.
    pub(super) first: usize,
}

/// One conjunct of a join condition, over graph columns.
#[derive(Clone, Debug)]
pub(super) struct Predicate {
    pub(super) expr: Expr,
    /// The graph columns that the predicate reads.
    pub(super) columns: BTreeSet<usize>,
    /// The two sides, if the predicate is an equality.
    pub(super) equality: Option<Equality>,
}

/// An equality `left = right` or, if `null_safe`, `left IS NOT DISTINCT FROM right`.
#[derive(Clone, Debug)]
pub(super) struct Equality {
    pub(super) left: Expr,
    pub(super) right: Expr,
    pub(super) null_safe: bool,
}

impl Predicate {
    pub(super) fn new(expr: Expr) -> Self {
        let equality = match &expr {
            Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Eq | Operator::IsNotDistinctFrom), right }) => {
                let null_safe = *op == Operator::IsNotDistinctFrom;
                Some(Equality { left: left.as_ref().clone(), right: right.as_ref().clone(), null_safe })
            }
            _ => None,
        };
        Predicate { columns: positions(&expr), expr, equality }
    }

    /// Returns the equality, with its sides swapped if needed so that `left` reads only columns for which `is_left` is
    /// true and `right` only others; `None` if that is impossible.
    pub(super) fn across(&self, is_left: &dyn Fn(usize) -> bool) -> Option<Equality> {
        let equality = self.equality.as_ref()?;
        let (left, right) = (positions(&equality.left), positions(&equality.right));
        if left.is_empty() || right.is_empty() {
            return None;
        }
        let all = |columns: &BTreeSet<usize>, side: bool| columns.iter().all(|column| is_left(*column) == side);
        if all(&left, true) && all(&right, false) {
            return Some(equality.clone());
        }
        (all(&left, false) && all(&right, true)).then(|| Equality {
            left: equality.right.clone(),
            right: equality.left.clone(),
            null_safe: equality.null_safe,
        })
    }
}

impl Equality {
    /// Returns the graph columns of both sides, if both are plain columns.
    pub(super) fn plain(&self) -> Option<(usize, usize)> {
        Some((plain_position(&self.left)?, plain_position(&self.right)?))
    }
}

/// Returns whether `plan` is an inner join beneath filters and renamings only.
pub(super) fn is_inner_join(plan: &LogicalPlan) -> bool {
    match plan {
        LogicalPlan::Join(join) => join.join_type == JoinType::Inner,
        LogicalPlan::Filter(filter) => is_inner_join(&filter.input),
        LogicalPlan::SubqueryAlias(alias) => is_inner_join(&alias.input),
        LogicalPlan::Projection(projection) => projection.expr.iter().all(is_plain) && is_inner_join(&projection.input),
        _ => false,
    }
}

fn is_plain(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) => true,
        Expr::Alias(alias) => is_plain(&alias.expr),
        _ => false,
    }
}

impl<'a> JoinGraph<'a> {
    /// Adds the leaves and predicates of `plan`; returns the graph column of each of its columns.
    pub(super) fn flatten(&mut self, plan: &'a LogicalPlan) -> Result<Vec<usize>, PlanError> {
        if !is_inner_join(plan) {
            return Ok(self.leaf(plan));
        }
        match plan {
            LogicalPlan::Join(join) => {
                let left = self.flatten(&join.left)?;
                let right = self.flatten(&join.right)?;
                self.predicates.extend(join_predicates(join, &left, &right)?);
                Ok([left, right].concat())
            }
            LogicalPlan::Filter(filter) => {
                let columns = self.flatten(&filter.input)?;
                for predicate in movable(filter.predicate.clone(), filter.input.schema()) {
                    refuse::expression(&predicate)?;
                    let expr = positional(&predicate, filter.input.schema(), |at| columns[at])?;
                    self.predicates.push(Predicate::new(expr));
                }
                Ok(columns)
            }
            LogicalPlan::SubqueryAlias(alias) => self.flatten(&alias.input),
            LogicalPlan::Projection(projection) => {
                let columns = self.flatten(&projection.input)?;
                let place = |expr: &Expr| {
                    let expr = positional(expr, projection.input.schema(), |at| columns[at])?;
                    Ok(plain_position(&expr).expect("the projection only renames"))
                };
                projection.expr.iter().map(place).collect()
            }
            _ => Ok(self.leaf(plan)),
        }
    }

    fn leaf(&mut self, plan: &'a LogicalPlan) -> Vec<usize> {
        let first = self.columns;
        self.columns += plan.schema().fields().len();
        self.leaves.push(Leaf { plan, first });
        (first..self.columns).collect()
    }

    /// Returns the leaf that a graph column belongs to.
    pub(super) fn leaf_of(&self, column: usize) -> usize {
        self.leaves.partition_point(|leaf| leaf.first <= column) - 1
    }

    /// Returns the columns of leaf `leaf` that are among `columns`, counted from the leaf's first column.
    pub(super) fn demand_of(&self, leaf: usize, columns: &Demand) -> Demand {
        let first = self.leaves[leaf].first;
        let end = first + self.leaves[leaf].plan.schema().fields().len();
        columns.range(first..end).map(|column| column - first).collect()
    }
}

/// Returns the conjuncts of a join's condition; `left` and `right` map the columns of its sides to graph columns.
pub(super) fn join_predicates(join: &Join, left: &[usize], right: &[usize]) -> Result<Vec<Predicate>, PlanError> {
    if join.null_aware {
        return Err(refuse::construct("a null-aware anti join"));
    }
    let equals = match join.null_equality {
        NullEquality::NullEqualsNothing => Operator::Eq,
        NullEquality::NullEqualsNull => Operator::IsNotDistinctFrom,
    };
    let mut predicates = Vec::new();
    for (a, b) in &join.on {
        refuse::expression(a)?;
        refuse::expression(b)?;
        let a = positional(a, join.left.schema(), |at| left[at])?;
        let b = positional(b, join.right.schema(), |at| right[at])?;
        predicates.push(Predicate::new(binary_expr(a, equals, b)));
    }
    if let Some(filter) = &join.filter {
        // The schema of a semi or anti join has only one side, but its condition reads both.
        let schema = join.left.schema().join(join.right.schema()).map_err(PlanError::from)?;
        let both = [left, right].concat();
        for conjunct in movable(filter.clone(), &schema) {
            refuse::expression(&conjunct)?;
            predicates.push(Predicate::new(positional(&conjunct, &schema, |at| both[at])?));
        }
    }
    Ok(predicates)
}
