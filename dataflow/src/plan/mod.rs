//! Describes as data what to maintain and how: whoever builds a plan makes every choice, and rendering only follows it.
//!
//! A plan is a list of nodes in topological order: a node reads only nodes before it. Columns are identified by
//! position. A node or arrangement that is used more than once appears once.

mod explain;
mod id;
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
pub use id::{ArrangementId, NodeId};
pub(crate) use index::{IndexPlan, shared_indexes, source_text};
pub use join::{Join, JoinColumn, SemiJoin, SemiJoinKind};
pub use linear::Step;
pub use reduce::{Aggregate, AggregateFunction, Reduce};
pub use set::{SetOperation, SetOperator};
pub use top_k::{SortKey, TopK};

/// The dataflow of a view.
#[derive(Clone, Debug)]
pub struct DataflowPlan {
    /// The operators, inputs before their readers.
    pub nodes: Vec<Node>,
    /// The indexes that joins read, each built once.
    pub arrangements: Vec<Arrangement>,
    /// The node that produces the view's rows, and what is kept of them.
    pub output: Output,
}

/// One operator and the schema of its output.
#[derive(Clone, Debug)]
pub struct Node {
    /// What the node computes.
    pub operator: Operator,
    /// The columns of its output.
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
        /// The node it reads.
        input: NodeId,
        /// The steps, in the order in which they are applied.
        steps: Vec<Step>,
    },
    /// The sum of its inputs (UNION ALL); all have the node's schema.
    Union(Vec<NodeId>),
    /// Inner equi-join of two arrangements.
    Join(Join),
    /// Rows of one side, selected by whether the other side has their key.
    SemiJoin(SemiJoin),
    /// GROUP BY with aggregates that can take rows back; without aggregates, DISTINCT.
    Reduce(Reduce),
    /// EXCEPT and INTERSECT, with or without ALL.
    Set(SetOperation),
    /// The first rows of each group in a given order.
    TopK(TopK),
}

/// An index of a node's rows by key.
///
/// The rows held are the key columns followed by the value columns; nothing else of the input is kept. Rows with
/// NULL in a key column are kept and equal to each other: a plan that must not match them filters them first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Arrangement {
    /// The node that is indexed.
    pub input: NodeId,
    /// Columns of `input` by which rows are found; may be empty, which puts all rows under one key.
    pub key: Vec<usize>,
    /// Columns of `input` held in addition to the key.
    pub value: Vec<usize>,
}

/// The node that produces a view's rows, and what is kept of them.
#[derive(Clone, Debug)]
pub struct Output {
    /// The node whose rows are the view's rows.
    pub node: NodeId,
    /// Columns on which no two rows of the view agree, if known; empty if the view has at most one row.
    pub unique_key: Option<Vec<usize>>,
    /// The state kept for reads.
    pub state: OutputState,
}

/// What a view keeps of its rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OutputState {
    /// Nothing: the view is linear over relations, and a read evaluates it over them.
    Nothing,
    /// An arrangement of the output by these columns (all of them if no key is known), in which a seek finds rows.
    Arrangement {
        /// Columns of the output.
        key: Vec<usize>,
    },
    /// The hash state of this `Reduce`, from which linear steps alone lead to the output node.
    Reduce(NodeId),
}

impl DataflowPlan {
    /// Returns the node `id`.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// Returns the schema of the view.
    pub fn schema(&self) -> &SchemaRef {
        &self.node(self.output.node).schema
    }

    /// Returns the relations and views that the plan reads, each once, in order of first use.
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

    /// Returns the steps that turn the rows of `from` into those of `to`, if there are only linear steps between them.
    pub(crate) fn steps_between(&self, from: NodeId, to: NodeId) -> Option<Vec<Step>> {
        if from == to {
            return Some(Vec::new());
        }
        let Operator::Linear { input, steps } = &self.node(to).operator else { return None };
        let mut all = self.steps_between(from, *input)?;
        all.extend(steps.iter().cloned());
        Some(all)
    }

    /// Whether the changes of a node are net at each time: no row is both inserted and removed.
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
