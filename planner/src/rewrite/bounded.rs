//! Counts each node that a rule looks at as a step of planning.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use crate::budget;
use crate::part;

/// Returns `rule`, which fails if the steps are too many or the call was cancelled.
pub(super) fn bounded(rule: Arc<dyn OptimizerRule + Send + Sync>) -> Arc<dyn OptimizerRule + Send + Sync> {
    Arc::new(Bounded(rule))
}

/// The optimiser rule that this module describes; it wraps another.
#[derive(Debug)]
struct Bounded(Arc<dyn OptimizerRule + Send + Sync>);

impl OptimizerRule for Bounded {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        // A rule without an order looks at all nodes in one call.
        let nodes = if self.0.apply_order().is_some() { 1 } else { part::size(&plan, usize::MAX)? };
        budget::spend(nodes)?;
        self.0.rewrite(plan, config)
    }
}
