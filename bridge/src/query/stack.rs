//! Gives deep plans the stack that they need: DataFusion plans and runs them by recursion.

use datafusion::common::Result;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::logical_expr::LogicalPlan;
use laminardb_planner::part::parts_of;
use laminardb_planner::stack::on_big_stack;

/// The number of levels of a plan for which the stack of a query's thread is large enough.
const LEVELS: usize = 100;

/// Runs `work`, which plans or runs a plan.
pub(super) fn for_plan<R>(is_deep: bool, work: impl FnOnce() -> R) -> R {
    if is_deep { on_big_stack(work) } else { work() }
}

/// Returns whether `plan`, one of its parts or of their subqueries has more than [`LEVELS`] levels.
pub(super) fn is_deep(plan: &LogicalPlan) -> Result<bool> {
    for part in parts_of(plan)? {
        if levels(&part.plan)? > LEVELS {
            return Ok(true);
        }
    }
    Ok(levels(plan)? > LEVELS)
}

fn levels(plan: &LogicalPlan) -> Result<usize> {
    let mut below = 0;
    for input in plan.inputs() {
        below = below.max(levels(input)?);
    }
    plan.apply_subqueries(|subquery| {
        below = below.max(levels(subquery)?);
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok(below + 1)
}
