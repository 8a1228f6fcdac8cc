//! Turns conjuncts of a filter that are EXISTS or IN into semi and anti joins.

use std::sync::Arc;

use datafusion::common::{JoinType, Result, ScalarValue};
use datafusion::logical_expr::expr::{Exists, InSubquery};
use datafusion::logical_expr::utils::{conjunction, split_binary, split_conjunction_owned};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan, LogicalPlanBuilder, Operator, lit};

use crate::decorrelate::outer_reference::has_subquery;
use crate::decorrelate::pull_up::pull_up;
use crate::decorrelate::{Decorrelation, columns};

impl Decorrelation {
    pub(super) fn rewrite_filter(&mut self, filter: Filter) -> Result<LogicalPlan> {
        let mut input = Arc::unwrap_or_clone(filter.input);
        let outputs = columns(&input);
        let (mut plain, mut subqueries) = (Vec::new(), Vec::new());
        for conjunct in split_conjunction_owned(filter.predicate) {
            if has_subquery(&conjunct) { subqueries.push(conjunct) } else { plain.push(conjunct) }
        }
        // Conditions without subqueries come first, so that fewer rows are looked up.
        if let Some(predicate) = conjunction(plain) {
            input = LogicalPlanBuilder::from(input).filter(predicate)?.build()?;
        }
        let mut widened = false;
        for conjunct in subqueries.into_iter().flat_map(as_exists) {
            let conjunct = without_not(conjunct);
            if let Some(joined) = self.semi_join(&input, &conjunct)? {
                input = joined;
                continue;
            }
            // The rows for which the conditions before are true, because on others this one could fail.
            let rows = self.copied(input, 2)?;
            let (extended, predicate) = self.extract(&rows, rows.clone(), conjunct)?;
            input = LogicalPlanBuilder::from(extended).filter(predicate)?.build()?;
            widened = true;
        }
        if widened {
            input = LogicalPlanBuilder::from(input).project(outputs)?.build()?;
        }
        Ok(input)
    }

    /// Keeps the rows of `input` for which `conjunct` is true; `None` unless it is EXISTS or IN of a subquery that
    /// [`pull_up`] can split.
    fn semi_join(&mut self, input: &LogicalPlan, conjunct: &Expr) -> Result<Option<LogicalPlan>> {
        let (subquery, value, negated) = match conjunct {
            Expr::Exists(Exists { subquery, negated }) => (subquery, None, *negated),
            Expr::InSubquery(InSubquery { expr, subquery, negated }) if !has_subquery(expr) => {
                (subquery, Some(expr.as_ref().clone()), *negated)
            }
            _ => return Ok(None),
        };
        let Some(pulled) = pull_up(&subquery.subquery)? else { return Ok(None) };
        let alias = self.fresh("s");
        let (plan, over_join) = pulled.renamed(&alias)?;
        let is_thrice = value.is_some() && negated;
        let plan = self.rewrite(plan)?;
        let plan = if is_thrice { self.copied(plan, 2)? } else { plan };
        let conditions = pulled.conditions.iter().map(|expr| over_join(expr.clone())).collect::<Result<Vec<_>>>()?;
        let compared = match (&value, pulled.outputs.first()) {
            (Some(value), Some(contained)) => Some((value.clone(), over_join(contained.clone())?)),
            _ => None,
        };
        let join = |rows: LogicalPlan, join_type: JoinType, extra: Vec<Expr>| -> Result<LogicalPlan> {
            let mut on: Vec<Expr> = conditions.iter().cloned().chain(extra).collect();
            if on.is_empty() {
                on.push(lit(true));
            }
            LogicalPlanBuilder::from(rows).join_on(plan.clone(), join_type, on)?.build()
        };
        let rows = input.clone();
        Ok(Some(match (compared, negated) {
            (None, false) => join(rows, JoinType::LeftSemi, Vec::new())?,
            (None, true) => join(rows, JoinType::LeftAnti, Vec::new())?,
            (Some((value, contained)), false) => join(rows, JoinType::LeftSemi, vec![value.eq(contained)])?,
            (Some((value, contained)), true) => {
                // NOT IN holds if no row is equal, none is NULL, and `value` is not NULL unless there are no rows.
                let rows = join(rows, JoinType::LeftAnti, vec![value.clone().eq(contained.clone())])?;
                let rows = join(rows, JoinType::LeftAnti, vec![contained.is_null()])?;
                join(rows, JoinType::LeftAnti, vec![value.is_null()])?
            }
        }))
    }
}

/// Splits the IN of a row value, which is a CASE over EXISTS, or its negation, into conditions that are all true
/// exactly where `conjunct` is. Other conjuncts are returned as they are.
///
/// ```text
/// CASE WHEN e THEN true WHEN f THEN NULL ELSE false END        e
/// NOT CASE WHEN e THEN true WHEN f THEN NULL ELSE false END    NOT e AND NOT f
/// ```
fn as_exists(conjunct: Expr) -> Vec<Expr> {
    let (case, negated) = match &conjunct {
        Expr::Case(case) => (case, false),
        Expr::Not(inner) => match inner.as_ref() {
            Expr::Case(case) => (case, true),
            _ => return vec![conjunct],
        },
        _ => return vec![conjunct],
    };
    let [(first, yes), (second, unknown)] = case.when_then_expr.as_slice() else { return vec![conjunct] };
    let otherwise = case.else_expr.as_deref();
    let is =
        |expr: &Expr, value| matches!(expr, Expr::Literal(ScalarValue::Boolean(Some(known)), _) if *known == value);
    let in_row = case.expr.is_none() && is(yes, true) && is_null(unknown) && otherwise.is_some_and(|e| is(e, false));
    if !in_row || !is_exists(first) || !is_exists(second) {
        return vec![conjunct];
    }
    if !negated {
        return vec![first.as_ref().clone()];
    }
    let absent = |expr: &Expr| Expr::Not(Box::new(expr.clone()));
    split_binary(second, Operator::Or).into_iter().chain([first.as_ref()]).map(absent).collect()
}

fn is_null(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(value, _) => value.is_null(),
        Expr::Cast(cast) => is_null(&cast.expr),
        _ => false,
    }
}

/// Returns whether `expr` is an EXISTS or an OR of several; such an expression is never NULL.
fn is_exists(expr: &Expr) -> bool {
    split_binary(expr, Operator::Or).into_iter().all(|expr| matches!(expr, Expr::Exists(_)))
}

/// Replaces NOT EXISTS and NOT (x IN ...) by their negated forms.
fn without_not(expr: Expr) -> Expr {
    match expr {
        Expr::Not(inner) => match without_not(*inner) {
            Expr::Exists(Exists { subquery, negated }) => Expr::Exists(Exists { subquery, negated: !negated }),
            Expr::InSubquery(InSubquery { expr, subquery, negated }) => {
                Expr::InSubquery(InSubquery { expr, subquery, negated: !negated })
            }
            other => Expr::Not(Box::new(other)),
        },
        other => other,
    }
}
