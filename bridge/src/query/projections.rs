//! Pushes projections that only drop or rearrange columns below filters and joins, so that these copy less.
//!
//! DataFusion's own rule also moves computed columns, which would then be computed for rows that a filter removes, and
//! could fail on them.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::config::ConfigOptions;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::{ProjectionExec, remove_unnecessary_projections};

/// The optimiser rule that pushes down projections of plain columns.
#[derive(Debug)]
pub(super) struct PushDownColumns;

impl PhysicalOptimizerRule for PushDownColumns {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let pushed = plan.transform_down(|plan| match plan.downcast_ref::<ProjectionExec>() {
            Some(projection) if is_plain(projection) => remove_unnecessary_projections(plan),
            _ => Ok(Transformed::no(plan)),
        });
        pushed.map(|pushed| pushed.data)
    }

    fn name(&self) -> &str {
        "push_down_columns"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Whether the projection computes nothing.
fn is_plain(projection: &ProjectionExec) -> bool {
    projection.expr().iter().all(|column| column.expr.downcast_ref::<Column>().is_some())
}
