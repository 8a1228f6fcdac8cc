//! Extracts the keys of joins from their conditions: DataFusion's rule, without making NULL equal NULL.
//!
//! All keys of a DataFusion join are compared in the same way. If the existing keys use IS NOT DISTINCT FROM, the rule
//! adds keys of `=` to them, which would then match rows in which both are NULL.

use datafusion::common::tree_node::Transformed;
use datafusion::common::{NullEquality, Result};
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The optimiser rule; it wraps DataFusion's.
#[derive(Debug, Default)]
pub(super) struct EquijoinKeys(ExtractEquijoinPredicate);

impl OptimizerRule for EquijoinKeys {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let known = match &plan {
            LogicalPlan::Join(join) if join.null_equality == NullEquality::NullEqualsNull => Some(join.on.len()),
            _ => None,
        };
        let rewritten = self.0.rewrite(plan, config)?;
        let Some(known) = known else { return Ok(rewritten) };
        Ok(rewritten.update_data(|plan| match plan {
            LogicalPlan::Join(mut join) => {
                // A new key came from `=`, for which NULL must not match.
                let new = join.on[known..].iter().map(|(left, _)| left.clone().is_not_null());
                let all: Vec<Expr> = join.filter.take().into_iter().chain(new).collect();
                join.filter = conjunction(all);
                LogicalPlan::Join(join)
            }
            other => other,
        }))
    }
}
