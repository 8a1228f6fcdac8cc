//! Builds the plans of the benches by hand.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use laminardb_dataflow::plan::{
    Aggregate, AggregateFunction, Arrangement, ArrangementId, DataflowPlan, Join, JoinColumn, Node, NodeId, Operator,
    Output, OutputState, Reduce,
};
use laminardb_dataflow::{CollectionId, RelationId};

fn input(relation: u64, schema: &SchemaRef) -> Node {
    Node { operator: Operator::Input(CollectionId::Relation(RelationId(relation))), schema: Arc::clone(schema) }
}

/// Returns a plan that keeps all rows, arranged by the first column.
pub(crate) fn load(schema: &SchemaRef) -> DataflowPlan {
    DataflowPlan {
        nodes: vec![input(0, schema)],
        arrangements: Vec::new(),
        output: Output { node: NodeId(0), unique_key: None, state: OutputState::Arrangement { key: vec![0] } },
    }
}

/// Returns a plan that joins bids (relation 0) and auctions (relation 1) on their first columns and keeps nothing of
/// the result.
pub(crate) fn join(bids: &SchemaRef, auctions: &SchemaRef) -> DataflowPlan {
    let right = auctions.fields()[1..].iter();
    let schema = Arc::new(Schema::new(bids.fields().iter().chain(right).cloned().collect::<Vec<_>>()));
    let join = Join {
        left: ArrangementId(0),
        right: ArrangementId(1),
        output: vec![
            JoinColumn::Key(0),
            JoinColumn::Left(0),
            JoinColumn::Left(1),
            JoinColumn::Left(2),
            JoinColumn::Right(0),
            JoinColumn::Right(1),
        ],
        residual: None,
    };
    DataflowPlan {
        nodes: vec![input(0, bids), input(1, auctions), Node { operator: Operator::Join(join), schema }],
        arrangements: vec![
            Arrangement { input: NodeId(0), key: vec![0], value: vec![1, 2, 3] },
            Arrangement { input: NodeId(1), key: vec![0], value: vec![1, 2] },
        ],
        output: Output { node: NodeId(2), unique_key: None, state: OutputState::Nothing },
    }
}

/// Returns a plan of count(*) and sum(v) by k.
pub(crate) fn reduce(schema: &SchemaRef) -> DataflowPlan {
    let aggregate = |function, argument| Aggregate {
        function,
        argument,
        distinct: false,
        filter: None,
        data_type: DataType::Int64,
    };
    let columns = ["count", "sum"].map(|name| Field::new(name, DataType::Int64, true));
    let fields: Vec<_> = [schema.field(0).clone()].into_iter().chain(columns).collect();
    let reduce = Reduce {
        input: NodeId(0),
        key: vec![0],
        aggregates: vec![aggregate(AggregateFunction::Count, None), aggregate(AggregateFunction::Sum, Some(1))],
        monotonic: true,
    };
    DataflowPlan {
        nodes: vec![
            input(0, schema),
            Node { operator: Operator::Reduce(reduce), schema: Arc::new(Schema::new(fields)) },
        ],
        arrangements: Vec::new(),
        output: Output { node: NodeId(1), unique_key: Some(vec![0]), state: OutputState::Reduce(NodeId(1)) },
    }
}
