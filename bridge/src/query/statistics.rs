//! Remembers the statistics of joins while a physical plan is made.
//!
//! DataFusion decides at each join which side to keep in memory, and asks for the statistics of both sides. These are
//! computed anew each time, from the leaves on, so the time of a long chain of joins is quadratic and more. Here the
//! statistics of a node are computed once, from those of its inputs.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{Result, Statistics};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs, StatisticsContext};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};

use super::yielding::is_join;

/// A plan of at most this number of joins is left to `rule` alone.
const FEW: usize = 16;

/// The optimiser rule that does what `rule` does, which decides about one join at a time. If the plan has many joins, it
/// leaves them with their statistics.
#[derive(Debug)]
pub(super) struct WithStatistics<R>(pub(super) R);

impl<R: PhysicalOptimizerRule> PhysicalOptimizerRule for WithStatistics<R> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn schema_check(&self) -> bool {
        self.0.schema_check()
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let mut joins = 0;
        plan.apply(|node| {
            joins += usize::from(is_join(&**node));
            Ok(TreeNodeRecursion::Continue)
        })?;
        if joins <= FEW {
            return self.0.optimize(plan, config);
        }
        let known = plan.transform_up(|node| {
            if !is_join(&*node) {
                return Ok(Transformed::no(node));
            }
            // The rule does not go below joins about which it has decided.
            let closed = node.transform_down(|node| {
                Ok(match Known::with(&node, false) {
                    Some(closed) => Transformed::new(closed, true, TreeNodeRecursion::Jump),
                    None => Transformed::no(node),
                })
            })?;
            let chosen = self.0.optimize(closed.data, config)?;
            let statistics = StatisticsContext::new().compute(&*chosen, &StatisticsArgs::new())?;
            let opened = chosen.transform_up(|node| {
                Ok(match Known::with(&node, true) {
                    Some(open) => Transformed::yes(open),
                    None => Transformed::no(node),
                })
            })?;
            Ok(Transformed::yes(Arc::new(Known { plan: opened.data, statistics, is_open: true }) as _))
        })?;
        Ok(known.data)
    }
}

/// The optimiser rule that removes what [`WithStatistics`] has added.
#[derive(Debug)]
pub(super) struct WithoutStatistics;

impl PhysicalOptimizerRule for WithoutStatistics {
    fn name(&self) -> &str {
        "without_statistics"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = plan.transform_up(|node| match node.downcast_ref::<Known>() {
            Some(known) => Ok(Transformed::yes(Arc::clone(&known.plan))),
            None => Ok(Transformed::no(node)),
        })?;
        Ok(plan.data)
    }
}

/// A plan with its statistics. Closed, it looks like a leaf.
#[derive(Debug)]
struct Known {
    plan: Arc<dyn ExecutionPlan>,
    statistics: Arc<Statistics>,
    is_open: bool,
}

impl Known {
    /// Returns `node` open or closed, if it is such a plan.
    fn with(node: &Arc<dyn ExecutionPlan>, is_open: bool) -> Option<Arc<dyn ExecutionPlan>> {
        let Known { plan, statistics, .. } = node.downcast_ref::<Known>()?;
        Some(Arc::new(Known { plan: Arc::clone(plan), statistics: Arc::clone(statistics), is_open }))
    }
}

impl DisplayAs for Known {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Known")
    }
}

impl ExecutionPlan for Known {
    fn name(&self) -> &str {
        "Known"
    }

    fn schema(&self) -> SchemaRef {
        self.plan.schema()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.plan.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        if self.is_open { vec![true] } else { Vec::new() }
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        if self.is_open { vec![&self.plan] } else { Vec::new() }
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let plan = children.pop().unwrap_or_else(|| Arc::clone(&self.plan));
        Ok(Arc::new(Known { plan, statistics: Arc::clone(&self.statistics), is_open: self.is_open }))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.plan.execute(partition, context)
    }

    fn child_stats_requests(&self, _partition: Option<usize>) -> Vec<ChildStats> {
        if self.is_open { vec![ChildStats::Skip] } else { Vec::new() }
    }

    fn statistics_from_inputs(&self, _inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(Arc::clone(&self.statistics))
    }
}
