//! Checks plans when they are installed, so that rendering them cannot fail.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};

use crate::DataflowError;
use crate::arrangement::Layout;
use crate::plan::{Arrangement, ArrangementId, DataflowPlan, Join, NodeId, Operator, OutputState, SemiJoin, Step};
use crate::render::join::JoinLayout;
use crate::render::reduce::ReduceState;
use crate::render::semi_join::SemiJoinLayout;
use crate::render::set::SetState;
use crate::render::top_k::TopKState;
use crate::row_bytes::{KeyCodec, RowCodec};
use crate::state::layout_by;

/// Checks that `plan` can be rendered.
pub(crate) fn check_plan(plan: &DataflowPlan) -> Result<(), DataflowError> {
    if plan.output.node.0 >= plan.nodes.len() {
        return Err(malformed(plan.output.node, "does not exist"));
    }
    for position in 0..plan.nodes.len() {
        check_node(plan, NodeId(position))?;
    }
    match &plan.output.state {
        OutputState::Nothing => {}
        OutputState::Arrangement { key } => {
            layout_by(plan.schema(), key)?;
        }
        OutputState::Reduce(id) => {
            let reduces = matches!(plan.nodes.get(id.0).map(|node| &node.operator), Some(Operator::Reduce(_)));
            if !reduces || plan.steps_between(*id, plan.output.node).is_none() {
                return Err(malformed(*id, "is not an aggregate from which the output follows by linear steps"));
            }
        }
    }
    // Changes are consolidated by the bytes of whole rows, so every column must have an encoding.
    RowCodec::new(plan.schema().fields().iter().map(|f| f.data_type().clone()).collect(), 0)?;
    Ok(())
}

/// Checks that the columns of `keys` match the key of the state that the view of `plan` keeps.
pub(crate) fn check_keys(plan: &DataflowPlan, keys: &RecordBatch) -> Result<(), DataflowError> {
    let (node, key) = match &plan.output.state {
        OutputState::Nothing => return Ok(()),
        OutputState::Arrangement { key } => (plan.output.node, key),
        OutputState::Reduce(id) => match &plan.node(*id).operator {
            Operator::Reduce(reduce) => (reduce.input, &reduce.key),
            _ => return Err(malformed(*id, "is not the aggregate it is read as")),
        },
    };
    let schema = &plan.node(node).schema;
    let wanted: Vec<DataType> = key.iter().map(|c| schema.field(*c).data_type().clone()).collect();
    check_types(node, &types(keys.schema_ref()), &wanted)
}

fn check_node(plan: &DataflowPlan, id: NodeId) -> Result<(), DataflowError> {
    let node = plan.node(id);
    match &node.operator {
        Operator::Input(_) => Ok(()),
        Operator::Constant(rows) => check_types(id, &types(rows.schema_ref()), &types(&node.schema)),
        Operator::Linear { input, steps } => {
            check_order(id, *input)?;
            check_steps(plan, id, *input, steps)
        }
        Operator::Union(inputs) => {
            for input in inputs {
                check_order(id, *input)?;
                check_types(id, &types(&plan.node(*input).schema), &types(&node.schema))?;
            }
            Ok(())
        }
        Operator::Join(join) => check_join(plan, id, join),
        Operator::SemiJoin(semi) => check_semi_join(plan, id, semi),
        Operator::Reduce(reduce) => {
            check_order(id, reduce.input)?;
            ReduceState::new(reduce, &plan.node(reduce.input).schema, &node.schema).map(|_| ())
        }
        Operator::Set(operation) => {
            for input in [operation.left, operation.right] {
                check_order(id, input)?;
                check_types(id, &types(&plan.node(input).schema), &types(&node.schema))?;
            }
            SetState::new(operation.operator, &node.schema).map(|_| ())
        }
        Operator::TopK(top_k) => {
            check_order(id, top_k.input)?;
            check_types(id, &types(&plan.node(top_k.input).schema), &types(&node.schema))?;
            TopKState::new(top_k, &node.schema).map(|_| ())
        }
    }
}

fn check_steps(plan: &DataflowPlan, id: NodeId, input: NodeId, steps: &[Step]) -> Result<(), DataflowError> {
    let mut current = types(&plan.node(input).schema);
    for step in steps {
        match step {
            Step::Filter(predicate) => {
                if predicate.data_type() != &DataType::Boolean {
                    return Err(malformed(id, "filters by something that is not a boolean"));
                }
            }
            Step::Project { columns, schema } => {
                let computed: Vec<DataType> = columns.iter().map(|c| c.data_type().clone()).collect();
                if columns.iter().filter_map(|c| c.column()).any(|c| c >= current.len()) {
                    return Err(malformed(id, "projects a column that its input does not have"));
                }
                check_types(id, &computed, &types(schema))?;
                current = computed;
            }
        }
    }
    check_types(id, &current, &types(&plan.node(id).schema))
}

fn check_order(reader: NodeId, input: NodeId) -> Result<(), DataflowError> {
    if input < reader { Ok(()) } else { Err(malformed(reader, "reads a node that is not before it")) }
}

fn check_join(plan: &DataflowPlan, id: NodeId, join: &Join) -> Result<(), DataflowError> {
    let left = check_arrangement(plan, id, join.left)?;
    let right = check_arrangement(plan, id, join.right)?;
    JoinLayout::new(&left, &right, &join.output, &plan.node(id).schema)?;
    match &join.residual {
        Some(residual) if residual.data_type() != &DataType::Boolean => {
            Err(malformed(id, "filters by something that is not a boolean"))
        }
        _ => Ok(()),
    }
}

fn check_semi_join(plan: &DataflowPlan, id: NodeId, semi: &SemiJoin) -> Result<(), DataflowError> {
    let left = check_arrangement(plan, id, semi.left)?;
    check_order(id, semi.right)?;
    let right_key = Arc::new(KeyCodec::new(&plan.node(semi.right).schema, &semi.right_key)?);
    SemiJoinLayout::new(&left, &right_key, semi.kind, &plan.node(id).schema).map(|_| ())
}

fn check_arrangement(plan: &DataflowPlan, reader: NodeId, id: ArrangementId) -> Result<Arc<Layout>, DataflowError> {
    let Some(Arrangement { input, key, value }) = plan.arrangements.get(id.0) else {
        return Err(malformed(reader, "reads an arrangement that does not exist"));
    };
    check_order(reader, *input)?;
    Layout::new(&plan.node(*input).schema, key, value)
}

fn check_types(id: NodeId, found: &[DataType], wanted: &[DataType]) -> Result<(), DataflowError> {
    if found == wanted {
        return Ok(());
    }
    Err(malformed(id, &format!("has rows of types {found:?} under a schema of types {wanted:?}")))
}

fn types(schema: &SchemaRef) -> Vec<DataType> {
    schema.fields().iter().map(|f| f.data_type().clone()).collect()
}

fn malformed(id: NodeId, why: &str) -> DataflowError {
    DataflowError::MalformedPlan(format!("node {} {why}", id.0))
}
