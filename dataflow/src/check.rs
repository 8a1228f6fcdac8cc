//! Checks plans when they are installed, so that rendering them cannot fail.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};

use crate::DataflowError;
use crate::arrangement::Layout;
use crate::plan::{
    Arrangement, ArrangementId, DataflowPlan, InputId, Join, Linear, Node, NodeId, Operator, OutputState, SemiJoin,
    Step,
};
use crate::render::join::JoinLayout;
use crate::render::reduce::ReduceState;
use crate::render::semi_join::SemiJoinLayout;
use crate::render::set::SetState;
use crate::render::top_k::TopKState;
use crate::row_bytes::RowCodec;
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
    let Node { operator, schema } = plan.node(id);
    check_inputs(plan, id, operator)?;
    match operator {
        Operator::Input(_) => Ok(()),
        Operator::Constant(rows) => check_types(id, &types(rows.schema_ref()), &types(schema)),
        Operator::Linear(linear) => check_steps(plan, id, linear),
        Operator::Union(union) => check_same_types(plan, id, &union.inputs),
        Operator::Join(join) => check_join(plan, id, join),
        Operator::SemiJoin(semi) => check_semi_join(plan, id, semi),
        Operator::Reduce(reduce) => ReduceState::new(reduce, &plan.node(reduce.input).schema, schema).map(|_| ()),
        Operator::Set(set) => {
            check_same_types(plan, id, &[set.left, set.right])?;
            SetState::new(set.operator, schema).map(|_| ())
        }
        Operator::TopK(top_k) => {
            check_same_types(plan, id, &[top_k.input])?;
            TopKState::new(top_k, schema).map(|_| ())
        }
    }
}

/// Checks that what an operator reads exists and comes before it.
fn check_inputs(plan: &DataflowPlan, id: NodeId, operator: &Operator) -> Result<(), DataflowError> {
    for input in operator.input_ids() {
        let input = match input {
            InputId::Node(input) => input,
            InputId::Arrangement(arrangement) => match plan.arrangements.get(arrangement.0) {
                Some(arrangement) => arrangement.input,
                None => return Err(malformed(id, "reads an arrangement that does not exist")),
            },
        };
        if input >= id {
            return Err(malformed(id, "reads a node that is not before it"));
        }
    }
    Ok(())
}

/// Checks that `inputs` have the types of the node.
fn check_same_types(plan: &DataflowPlan, id: NodeId, inputs: &[NodeId]) -> Result<(), DataflowError> {
    let wanted = types(&plan.node(id).schema);
    inputs.iter().try_for_each(|input| check_types(id, &types(&plan.node(*input).schema), &wanted))
}

fn check_steps(plan: &DataflowPlan, id: NodeId, linear: &Linear) -> Result<(), DataflowError> {
    let mut current = types(&plan.node(linear.input).schema);
    for step in &linear.steps {
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

fn check_join(plan: &DataflowPlan, id: NodeId, join: &Join) -> Result<(), DataflowError> {
    let (left, right) = (layout_of(plan, join.left)?, layout_of(plan, join.right)?);
    JoinLayout::new(&left, &right, &join.output, &plan.node(id).schema)?;
    match &join.residual {
        Some(residual) if residual.data_type() != &DataType::Boolean => {
            Err(malformed(id, "filters by something that is not a boolean"))
        }
        _ => Ok(()),
    }
}

fn check_semi_join(plan: &DataflowPlan, id: NodeId, semi: &SemiJoin) -> Result<(), DataflowError> {
    let left = layout_of(plan, semi.left)?;
    let right = &plan.node(semi.right).schema;
    SemiJoinLayout::new(&left, right, &semi.right_key, semi.kind, &plan.node(id).schema).map(|_| ())
}

fn layout_of(plan: &DataflowPlan, id: ArrangementId) -> Result<Arc<Layout>, DataflowError> {
    let Arrangement { input, key, value } = &plan.arrangements[id.0];
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
