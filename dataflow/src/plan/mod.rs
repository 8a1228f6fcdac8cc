//! Describes as data what to maintain and how: whoever builds a plan makes every choice, and rendering only follows it.
//!
//! A plan is a list of nodes in topological order: a node reads only nodes before it. Columns are identified by
//! position. A node or arrangement that is used more than once appears once.

mod arrangement;
mod constant;
mod explain;
mod id;
mod index;
mod input;
mod join;
mod linear;
mod operator;
mod operator_kind;
mod reduce;
mod semi_join;
mod set;
mod text;
mod top_k;
mod union;

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::CollectionId;
use operator_kind::{Net, Nodes};

pub use arrangement::Arrangement;
pub use id::{ArrangementId, NodeId};
pub(crate) use index::{IndexPlan, shared_indexes, source_text};
pub use join::{Join, JoinColumn};
pub use linear::{Linear, Step};
pub use operator::Operator;
pub use operator_kind::{InputId, MapInputs};
pub use reduce::{Aggregate, AggregateFunction, Reduce};
pub use semi_join::{SemiJoin, SemiJoinKind};
pub use set::{SetOperation, SetOperator};
pub use text::named_text;
pub use top_k::{SortKey, TopK};
pub use union::Union;

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
        let Operator::Linear(Linear { input, steps }) = &self.node(to).operator else { return None };
        let mut all = self.steps_between(from, *input)?;
        all.extend(steps.iter().cloned());
        Some(all)
    }

    /// Whether there can be a row or a group on which an operator of the plan fails.
    pub fn can_fail(&self) -> bool {
        self.nodes.iter().any(|node| node.operator.can_fail())
    }

    /// Whether the changes of a node are net at each time: no row is both inserted and removed.
    pub(crate) fn comes_net(&self, id: NodeId) -> bool {
        match self.node(id).operator.net(self) {
            Net::Always => true,
            Net::Like(input) => self.comes_net(input),
            Net::Unknown => false,
        }
    }
}

impl Nodes for DataflowPlan {
    fn schema_of(&self, id: NodeId) -> &SchemaRef {
        &self.node(id).schema
    }

    fn arrangement(&self, id: ArrangementId) -> &Arrangement {
        &self.arrangements[id.0]
    }
}

/// A plan shared with all workers.
pub type SharedPlan = Arc<DataflowPlan>;
