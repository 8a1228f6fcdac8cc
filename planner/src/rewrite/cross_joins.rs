//! Turns cross joins into joins by keys: DataFusion's rule, kept from mixing joins that compare in different ways.
//!
//! The rule takes adjacent inner joins and the filter above them apart and rebuilds them with one kind of comparison
//! for all. If that is IS NOT DISTINCT FROM, keys of `=` match rows in which both are NULL; if it is `=`, keys of IS
//! NOT DISTINCT FROM lose those rows. A projection of all columns between two such joins separates them.
//!
//! The rule tries all keys for each pair of inputs of each join, which takes the fifth power of the number of joins if
//! all tables are equated with each other. So many joins are left as they are if each has keys, or else taken apart by
//! ours (see `join_chain`).

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{NullEquality, Result};
use datafusion::logical_expr::{Expr, Join, JoinType, LogicalPlan, Projection};
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::{OptimizerConfig, OptimizerRule};

use super::join_chain;

/// The optimiser rule; it wraps DataFusion's.
#[derive(Debug, Default)]
pub(super) struct CrossJoins(EliminateCrossJoin);

impl OptimizerRule for CrossJoins {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match long(&plan)? {
            Some(Long::Keyed) => return Ok(Transformed::no(plan)),
            Some(Long::Cross) => return join_chain::with_keys(plan),
            None => {}
        }
        let parted = plan.transform_up(part)?;
        let was_parted = parted.transformed;
        let rewritten = self.0.rewrite(parted.data, config)?;
        Ok(Transformed::new(rewritten.data, rewritten.transformed || was_parted, rewritten.tnr))
    }
}

/// The number of joins that are always rewritten.
const FEW: usize = 12;

/// What a plan of more than [`FEW`] inner joins needs.
enum Long {
    /// Nothing: each has keys.
    Keyed,
    /// Keys for some.
    Cross,
}

/// Returns what `plan` needs if it has more than [`FEW`] inner joins.
fn long(plan: &LogicalPlan) -> Result<Option<Long>> {
    let (mut joins, mut cross) = (0, 0);
    plan.apply(|node| {
        if let Some(join) = inner_join(node) {
            joins += 1;
            cross += usize::from(join.on.is_empty());
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    Ok((joins > FEW).then_some(if cross == 0 { Long::Keyed } else { Long::Cross }))
}

/// Inserts a projection above an inner join whose parent compares in another way.
fn part(plan: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let equality = match &plan {
        // The filter's equalities, which are `=`, may become keys.
        LogicalPlan::Filter(_) => NullEquality::NullEqualsNothing,
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => join.null_equality,
        _ => return Ok(Transformed::no(plan)),
    };
    plan.map_children(|input| match inner_join(&input) {
        Some(join) if join.null_equality != equality => {
            let columns = input.schema().columns().into_iter().map(Expr::Column).collect();
            Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(columns, Arc::new(input))?)))
        }
        _ => Ok(Transformed::no(input)),
    })
}

fn inner_join(plan: &LogicalPlan) -> Option<&Join> {
    match plan {
        LogicalPlan::Join(join) if join.join_type == JoinType::Inner => Some(join),
        _ => None,
    }
}
