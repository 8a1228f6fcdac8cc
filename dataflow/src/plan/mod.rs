//! What to maintain and how, as data: every choice is made by whoever builds a plan, rendering only obeys.
//!
//! A plan is a list of nodes in topological order: a node reads only nodes before it. Columns are positions.
//! Nodes and arrangements used more than once appear once.

mod explain;
mod index;
mod join;
mod linear;
mod reduce;
mod set;
mod top_k;

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::CollectionId;

pub use explain::named_text;
pub(crate) use index::{IndexPlan, shared_indexes, source_text};
pub use join::{Join, JoinColumn, SemiJoin, SemiJoinKind};
pub use linear::Step;
pub use reduce::{Aggregate, AggregateFunction, Reduce};
pub use set::{SetOperation, SetOperator};
pub use top_k::{SortKey, TopK};

/// Position of a node in [`DataflowPlan::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub usize);

/// Position of an arrangement in [`DataflowPlan::arrangements`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ArrangementId(pub usize);

/// A view as a dataflow.
#[derive(Clone, Debug)]
pub struct DataflowPlan {
    /// The operators, inputs before their readers.
    pub nodes: Vec<Node>,
    /// The indexes that joins read, each built once.
    pub arrangements: Vec<Arrangement>,
    /// Where the view's rows come from and what is kept of them.
    pub output: Output,
}

/// One operator and the schema of what leaves it.
#[derive(Clone, Debug)]
pub struct Node {
    /// What it does.
    pub operator: Operator,
    /// Columns of its rows.
    pub schema: SchemaRef,
}

/// The kinds of operators.
#[derive(Clone, Debug)]
pub enum Operator {
    /// All changes of a relation or view.
    Input(CollectionId),
    /// Rows that never change.
    Constant(RecordBatch),
    /// Filters and projections, without state.
    Linear {
        /// What it reads.
        input: NodeId,
        /// In order.
        steps: Vec<Step>,
    },
    /// The sum of its inputs (UNION ALL); all have the node's schema.
    Union(Vec<NodeId>),
    /// Inner equi-join of two arrangements.
    Join(Join),
    /// Rows of one side by whether the other side has their key.
    SemiJoin(SemiJoin),
    /// GROUP BY with aggregates that can be undone; without aggregates, DISTINCT.
    Reduce(Reduce),
    /// EXCEPT and INTERSECT, with or without ALL.
    Set(SetOperation),
    /// The first rows of each group in an order.
    TopK(TopK),
}

/// An index of a node's rows by key.
///
/// The rows held are the key columns followed by the value columns; nothing else of the input is kept. Rows with
/// NULL in a key column are kept and equal to each other: a plan that must not match them filters them first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Arrangement {
    /// What it indexes.
    pub input: NodeId,
    /// Columns of `input` that rows are found by; may be empty (all rows under one key).
    pub key: Vec<usize>,
    /// Columns of `input` held beside the key.
    pub value: Vec<usize>,
}

/// The end of a view.
#[derive(Clone, Debug)]
pub struct Output {
    /// The node whose rows are the view's rows.
    pub node: NodeId,
    /// Columns no two rows of the view agree on, if known; may be empty (at most one row).
    pub unique_key: Option<Vec<usize>>,
    /// What is kept for reads.
    pub state: OutputState,
}

/// What a view keeps of its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputState {
    /// Nothing: the view is linear over relations, a read evaluates it over them.
    Nothing,
    /// An arrangement of the output by these columns (all of them when no key is known), found by seek.
    Arrangement {
        /// Columns of the output.
        key: Vec<usize>,
    },
    /// The hash state of this `Reduce`, from which the output node follows by linear steps alone.
    Reduce(NodeId),
}

impl DataflowPlan {
    /// The node `id`.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// Columns of the view.
    pub fn schema(&self) -> &SchemaRef {
        &self.node(self.output.node).schema
    }

    /// The relations and views it reads, each once, in order of first use.
    pub fn inputs(&self) -> Vec<CollectionId> {
        let mut inputs = Vec::new();
        for node in &self.nodes {
            if let Operator::Input(collection) = &node.operator
                && !inputs.contains(collection)
            {
                inputs.push(*collection);
            }
        }
        inputs
    }

    /// Whether the changes of a node are net at each time: of equal rows, none is inserted and none removed besides.
    pub(crate) fn comes_net(&self, id: NodeId) -> bool {
        match &self.node(id).operator {
            Operator::Reduce(_) | Operator::Set(_) | Operator::TopK(_) => true,
            Operator::Linear { input, steps } => {
                let mut width = self.node(*input).schema.fields().len();
                self.comes_net(*input)
                    && steps.iter().all(|step| {
                        let distinct = step.keeps_distinct(width);
                        width = step.width(width);
                        distinct
                    })
            }
            Operator::Input(_) | Operator::Constant(_) | Operator::Union(_) => false,
            Operator::Join(_) | Operator::SemiJoin(_) => false,
        }
    }
}

/// A plan shared with all workers.
pub type SharedPlan = Arc<DataflowPlan>;
