//! An operator that passes rows on, and of all the orders that they are known to be in tells only one.
//!
//! DataFusion collects the orders that follow from window functions and compares each with all others, so the time for
//! many functions grows with the cube of their number. Between some of them this operator makes it forget.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{DFSchemaRef, Result, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{Expr, Extension, LogicalPlan, UserDefinedLogicalNode, UserDefinedLogicalNodeCore};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};

/// Returns `plan` with only one of its orders.
pub(super) fn one_order(plan: LogicalPlan) -> LogicalPlan {
    LogicalPlan::Extension(Extension { node: Arc::new(OneOrder { input: plan }) })
}

/// The operator in a logical plan.
#[derive(Debug, PartialEq, Eq, PartialOrd, Hash)]
struct OneOrder {
    input: LogicalPlan,
}

impl UserDefinedLogicalNodeCore for OneOrder {
    fn name(&self) -> &str {
        "OneOrder"
    }

    fn inputs(&self) -> Vec<&LogicalPlan> {
        vec![&self.input]
    }

    fn schema(&self) -> &DFSchemaRef {
        self.input.schema()
    }

    fn expressions(&self) -> Vec<Expr> {
        Vec::new()
    }

    fn fmt_for_explain(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneOrder")
    }

    fn with_exprs_and_inputs(&self, _exprs: Vec<Expr>, mut inputs: Vec<LogicalPlan>) -> Result<Self> {
        match (inputs.pop(), inputs.pop()) {
            (Some(input), None) => Ok(OneOrder { input }),
            _ => internal_err!("an operator that tells one order has one input"),
        }
    }
}

/// Plans the operator, which DataFusion does not know.
pub(super) struct OneOrderPlanner;

#[async_trait]
impl ExtensionPlanner for OneOrderPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        if node.as_any().downcast_ref::<OneOrder>().is_none() {
            return Ok(None);
        }
        let [input] = physical_inputs else { return internal_err!("an operator that tells one order has one input") };
        Ok(Some(Arc::new(OneOrderExec::over(Arc::clone(input)))))
    }
}

/// The operator in a physical plan.
#[derive(Debug)]
struct OneOrderExec {
    input: Arc<dyn ExecutionPlan>,
    properties: Arc<PlanProperties>,
}

impl OneOrderExec {
    fn over(input: Arc<dyn ExecutionPlan>) -> Self {
        let order = input.output_ordering().cloned();
        let properties = PlanProperties::new(
            EquivalenceProperties::new_with_orderings(input.schema(), order),
            input.output_partitioning().clone(),
            input.pipeline_behavior(),
            input.boundedness(),
        );
        OneOrderExec { input, properties: Arc::new(properties) }
    }
}

impl DisplayAs for OneOrderExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OneOrderExec")
    }
}

impl ExecutionPlan for OneOrderExec {
    fn name(&self) -> &str {
        "OneOrderExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.pop()) {
            (Some(input), None) => Ok(Arc::new(OneOrderExec::over(input))),
            _ => internal_err!("an operator that tells one order has one input"),
        }
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context)
    }
}
