//! Gives brief names to the deep parts of expressions while their types are coerced.
//!
//! DataFusion names every expression that it asks for a type by its whole text, and so names a nested call again at each
//! level: a chain of calls took time cubic in its length. A marked part has a name of constant length.

use std::cell::Cell;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Expr, LogicalPlan};

use crate::budget;
use crate::error::PlanError;
use crate::function::{brief, in_brief, in_cell};

/// The number of levels of an expression after which its part below is marked.
const LEVELS: usize = 8;

/// Runs `work` on `plan` with marks on the deep parts of its expressions and those of its subqueries; the columns of
/// each node keep their names. Each expression counts as a step of planning, but for literals.
pub(super) fn with_marks(
    plan: LogicalPlan,
    work: impl FnOnce(LogicalPlan) -> Result<LogicalPlan, PlanError>,
) -> Result<LogicalPlan, PlanError> {
    let marks = Cell::new(0_usize);
    let plan = work(of_expressions(plan, &|expr| Ok(of_expr(expr, &marks)?.0))?)?;
    if marks.get() == 0 {
        return Ok(plan);
    }
    let plan = of_expressions(plan, &|expr| {
        expr.transform_up(|expr| {
            Ok(match in_brief(expr) {
                Ok(inner) => Transformed::yes(inner),
                Err(other) => Transformed::no(other),
            })
        })
    })?;
    Ok(plan)
}

fn of_expressions(plan: LogicalPlan, change: &dyn Fn(Expr) -> Result<Transformed<Expr>>) -> Result<LogicalPlan> {
    let changed = plan.transform_up_with_subqueries(|node| {
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(change(expr)?.update_data(|expr| name.restore(expr)))
        })
    })?;
    Ok(changed.data)
}

/// Returns whether `expr` is a literal, with at most a sign, a type or the mark of a cell of VALUES.
fn is_plain(expr: &Expr) -> bool {
    match expr {
        Expr::Literal(..) => true,
        // DataFusion casts the cells of a column to one type.
        Expr::Cast(cast) => matches!(*cast.expr, Expr::Literal(..)) || in_cell(&cast.expr).is_some_and(is_plain),
        Expr::Negative(operand) => matches!(**operand, Expr::Literal(..)),
        marked => in_cell(marked).is_some_and(is_plain),
    }
}

/// Marks the deep parts of `expr`, of which `marks` counts the number; returns the result and its height above the
/// uppermost marks.
fn of_expr(expr: Expr, marks: &Cell<usize>) -> Result<(Transformed<Expr>, usize)> {
    budget::spend(usize::from(!is_plain(&expr)))?;
    // A branch is not named for its type; and a mark there would be asked for it twice.
    let is_case = matches!(expr, Expr::Case(_));
    let mut height = 0;
    let marked = expr.map_children(|child| {
        let (child, below) = of_expr(child, marks)?;
        if below < LEVELS || is_case {
            height = height.max(below + 1);
            return Ok(child);
        }
        height = height.max(1);
        marks.set(marks.get() + 1);
        Ok(Transformed::yes(brief(child.data)))
    })?;
    Ok((marked, height))
}
