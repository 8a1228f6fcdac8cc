//! Runs EXCEPT and INTERSECT, with or without ALL: counts how often each row occurs on both sides, and combines the
//! counts.

use std::fmt;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions, UInt64Array};
use arrow::compute::{concat_batches, take_record_batch};
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{Result, exec_datafusion_err, internal_err};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::logical_expr::{LogicalPlan, UserDefinedLogicalNode};
use datafusion::physical_expr::{Distribution, EquivalenceProperties, Partitioning, PhysicalExpr};
use datafusion::physical_plan::execution_plan::{Boundedness, EmissionType};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, common::collect};
use datafusion::physical_planner::{ExtensionPlanner, PhysicalPlanner};
use futures::stream;
use hashbrown::HashMap;
use laminardb_dataflow::plan::SetOperator;
use laminardb_dataflow::row_bytes::RowCodec;
use laminardb_planner::scalar::grouped;
use laminardb_planner::set_operation::SetOperationNode;

/// Plans the set operation nodes, which DataFusion does not know.
pub(super) struct SetOperationPlanner;

#[async_trait]
impl ExtensionPlanner for SetOperationPlanner {
    async fn plan_extension(
        &self,
        _planner: &dyn PhysicalPlanner,
        node: &dyn UserDefinedLogicalNode,
        _logical_inputs: &[&LogicalPlan],
        physical_inputs: &[Arc<dyn ExecutionPlan>],
        _session: &dyn Session,
        _context: &PhysicalPlanningContext,
    ) -> Result<Option<Arc<dyn ExecutionPlan>>> {
        let Some(node) = node.as_any().downcast_ref::<SetOperationNode>() else { return Ok(None) };
        let [left, right] = physical_inputs else { return internal_err!("a set operation has two sides") };
        Ok(Some(Arc::new(SetOperationExec::new(Arc::clone(left), Arc::clone(right), node.operator))))
    }
}

/// The physical operator; its columns are those of the left side.
#[derive(Debug)]
struct SetOperationExec {
    left: Arc<dyn ExecutionPlan>,
    right: Arc<dyn ExecutionPlan>,
    operator: SetOperator,
    properties: Arc<PlanProperties>,
}

impl SetOperationExec {
    fn new(left: Arc<dyn ExecutionPlan>, right: Arc<dyn ExecutionPlan>, operator: SetOperator) -> Self {
        let properties = PlanProperties::new(
            EquivalenceProperties::new(left.schema()),
            Partitioning::UnknownPartitioning(1),
            EmissionType::Final,
            Boundedness::Bounded,
        );
        SetOperationExec { left, right, operator, properties: Arc::new(properties) }
    }
}

impl DisplayAs for SetOperationExec {
    fn fmt_as(&self, _format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SetOperationExec: {:?}", self.operator)
    }
}

impl ExecutionPlan for SetOperationExec {
    fn name(&self) -> &str {
        "SetOperationExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        vec![Distribution::SinglePartition; 2]
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.left, &self.right]
    }

    fn apply_expressions(
        &self,
        _visit: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        let [left, right] = &children[..] else { return internal_err!("a set operation has two sides") };
        Ok(Arc::new(SetOperationExec::new(Arc::clone(left), Arc::clone(right), self.operator)))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let left = self.left.execute(partition, Arc::clone(&context))?;
        let right = self.right.execute(partition, context)?;
        let (schema, operator) = (self.schema(), self.operator);
        let answer = stream::once(async move {
            let left = concat_batches(&left.schema(), &collect(left).await?)?;
            let right = concat_batches(&right.schema(), &collect(right).await?)?;
            combine(&left, &right, operator)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, answer)))
    }
}

/// Returns the rows of the answer, in the order in which they first appear in `left`.
fn combine(left: &RecordBatch, right: &RecordBatch, operator: SetOperator) -> Result<RecordBatch> {
    if left.num_columns() == 0 {
        let count = multiplicity(operator, left.num_rows() as u64, right.num_rows() as u64);
        let options = RecordBatchOptions::new().with_row_count(usize::try_from(count).ok());
        return Ok(RecordBatch::try_new_with_options(left.schema(), Vec::new(), &options)?);
    }
    let types = left.schema().fields().iter().map(|field| field.data_type().clone()).collect();
    let codec = RowCodec::comparing(types, 0).map_err(|error| exec_datafusion_err!("{error}"))?;
    let columns = |side: &RecordBatch| side.columns().iter().map(grouped).collect::<Vec<ArrayRef>>();
    let left = &RecordBatch::try_new(left.schema(), columns(left))?;
    let left_rows = codec.encode(left.columns(), left.num_rows());
    let right_rows = codec.encode(&columns(right), right.num_rows());
    // For each distinct row of `left`, its position in `counts`.
    let mut place: HashMap<&[u8], usize> = HashMap::with_capacity(left.num_rows());
    // For each distinct row: its first position in `left`, and its count on each side.
    let mut counts: Vec<(u64, u64, u64)> = Vec::new();
    for row in 0..left.num_rows() {
        let at = *place.entry(left_rows.row(row)).or_insert_with(|| {
            counts.push((row as u64, 0, 0));
            counts.len() - 1
        });
        counts[at].1 += 1;
    }
    for row in 0..right.num_rows() {
        if let Some(at) = place.get(right_rows.row(row)) {
            counts[*at].2 += 1;
        }
    }
    let repeated = |(row, left, right): &(u64, u64, u64)| {
        let times = usize::try_from(multiplicity(operator, *left, *right)).unwrap_or(usize::MAX);
        std::iter::repeat_n(*row, times)
    };
    let rows: Vec<u64> = counts.iter().flat_map(repeated).collect();
    Ok(take_record_batch(left, &UInt64Array::from(rows))?)
}

/// Returns how often a row is in the answer if it occurs `left` and `right` times in the two sides.
fn multiplicity(operator: SetOperator, left: u64, right: u64) -> u64 {
    match operator {
        SetOperator::Except => u64::from(left > 0 && right == 0),
        SetOperator::ExceptAll => left.saturating_sub(right),
        SetOperator::Intersect => u64::from(left > 0 && right > 0),
        SetOperator::IntersectAll => left.min(right),
    }
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array, AsArray, Int64Array};
    use arrow::datatypes::{DataType, Field, Int64Type, Schema};

    use super::*;

    fn rows(values: &[Option<i64>]) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("a", DataType::Int64, true)]));
        RecordBatch::try_new(schema, vec![Arc::new(Int64Array::from(values.to_vec()))]).expect("one column")
    }

    #[test]
    fn multiplicities_are_those_of_sql_and_nulls_are_equal() {
        let left = rows(&[Some(1), None, Some(1), Some(2), None, Some(1)]);
        let right = rows(&[Some(1), None, Some(3)]);
        let answer = |operator| {
            let batch = combine(&left, &right, operator).expect("types with a row encoding");
            let column = batch.column(0).as_primitive::<Int64Type>();
            (0..column.len()).map(|row| column.is_valid(row).then(|| column.value(row))).collect::<Vec<_>>()
        };
        assert_eq!(answer(SetOperator::Except), [Some(2)]);
        assert_eq!(answer(SetOperator::ExceptAll), [Some(1), Some(1), None, Some(2)]);
        assert_eq!(answer(SetOperator::Intersect), [Some(1), None]);
        assert_eq!(answer(SetOperator::IntersectAll), [Some(1), None]);
    }
}
