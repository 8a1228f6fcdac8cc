//! Ends a query that runs once when the memory limit is passed and the query has a large part in it.
//!
//! Two places look. DataFusion's operators that keep rows ask a `MemoryPool` before they keep more. Many operators do
//! not ask, joins that make many rows among them, so every operator of a plan is wrapped in one that looks whenever it
//! passes a batch on. What the query holds is what its thread has allocated: a query has a thread of its own.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::common::config::ConfigOptions;
use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, Statistics, internal_err};
use datafusion::execution::memory_pool::{MemoryPool, MemoryReservation};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::{RecordBatchStream, SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties};
use futures::Stream;
use laminardb_dataflow::memory::{MemoryLimit, OverLimit, of_thread};

use crate::error::Error;

/// Returns the environment of queries under this limit. Nothing is written to temporary files.
pub(super) fn environment(limit: Option<MemoryLimit>) -> Result<Arc<RuntimeEnv>> {
    let mut builder = RuntimeEnvBuilder::new();
    if let Some(limit) = limit {
        let files = datafusion::execution::disk_manager::DiskManagerBuilder::default()
            .with_mode(datafusion::execution::disk_manager::DiskManagerMode::Disabled);
        builder = builder.with_memory_pool(Arc::new(Limited(limit))).with_disk_manager_builder(files);
    }
    builder.build_arc()
}

/// Returns the error of a query that DataFusion has ended, if the reason is the memory limit.
pub(super) fn over_limit(error: &DataFusionError, limit: Option<MemoryLimit>) -> Option<Error> {
    match (error.find_root(), limit) {
        (DataFusionError::ResourcesExhausted(_), Some(limit)) => {
            let over = limit.check(0).err().unwrap_or(OverLimit { used: limit.bytes(), limit: limit.bytes() });
            Some(Error::of_memory("the query needs", over))
        }
        _ => None,
    }
}

/// Fails if the limit is passed and the thread's query holds a large part, or would hold it with `more` bytes.
fn check(limit: MemoryLimit, more: usize) -> Result<()> {
    limit.check_of(of_thread(), more as u64).map_err(|over| DataFusionError::ResourcesExhausted(over.to_string()))
}

/// The pool that operators ask before they keep more rows.
#[derive(Debug)]
struct Limited(MemoryLimit);

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Limited")
    }
}

impl MemoryPool for Limited {
    fn name(&self) -> &str {
        "Limited"
    }

    fn grow(&self, _reservation: &MemoryReservation, _additional: usize) {}

    fn shrink(&self, _reservation: &MemoryReservation, _shrink: usize) {}

    fn try_grow(&self, _reservation: &MemoryReservation, additional: usize) -> Result<()> {
        check(self.0, additional)
    }

    fn reserved(&self) -> usize {
        0
    }
}

/// The optimiser rule that wraps every operator.
#[derive(Debug)]
pub(super) struct LookAtMemory(pub(super) MemoryLimit);

impl PhysicalOptimizerRule for LookAtMemory {
    fn name(&self) -> &str {
        "LookAtMemory"
    }

    fn schema_check(&self) -> bool {
        true
    }

    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        let wrapped = plan.transform_up(|node| Ok(Transformed::yes(Arc::new(Looking::over(node, self.0)) as _)));
        Ok(wrapped?.data)
    }
}

/// An operator that passes on what another one makes, and looks at the memory limit with each batch.
#[derive(Debug)]
struct Looking {
    input: Arc<dyn ExecutionPlan>,
    limit: MemoryLimit,
}

impl Looking {
    fn over(input: Arc<dyn ExecutionPlan>, limit: MemoryLimit) -> Self {
        Looking { input, limit }
    }
}

impl DisplayAs for Looking {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Looking")
    }
}

impl ExecutionPlan for Looking {
    fn name(&self) -> &str {
        "Looking"
    }

    fn schema(&self) -> SchemaRef {
        self.input.schema()
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.pop()) {
            (Some(input), None) => Ok(Arc::new(Looking::over(input, self.limit))),
            _ => internal_err!("an operator that looks at the memory has one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let batches = self.input.execute(partition, context)?;
        Ok(Box::pin(LookingStream { batches, limit: self.limit }))
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _: &StatisticsArgs) -> Result<Arc<Statistics>> {
        Ok(Arc::clone(&inputs[0]))
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }
}

/// The batches of [`Looking`].
struct LookingStream {
    batches: SendableRecordBatchStream,
    limit: MemoryLimit,
}

impl Stream for LookingStream {
    type Item = Result<RecordBatch>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = self.batches.as_mut().poll_next(context);
        match (&next, check(self.limit, 0)) {
            (Poll::Ready(Some(Ok(_))) | Poll::Pending, Err(over)) => Poll::Ready(Some(Err(over))),
            _ => next,
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.batches.size_hint()
    }
}

impl RecordBatchStream for LookingStream {
    fn schema(&self) -> SchemaRef {
        self.batches.schema()
    }
}
