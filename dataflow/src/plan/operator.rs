//! The kinds of operators, and what may be asked of any operator.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::arrangement::Arrangement;
use super::id::NodeId;
use super::join::Join;
use super::linear::Linear;
use super::operator_kind::{Explaining, InputId, MapInputs, Net, Nodes, OperatorKind};
use super::reduce::Reduce;
use super::semi_join::SemiJoin;
use super::set::SetOperation;
use super::top_k::TopK;
use super::union::Union;
use crate::CollectionId;

/// One operator of a plan; each kind has a file beside this one.
#[derive(Clone, Debug)]
pub enum Operator {
    /// All changes of a relation or view.
    Input(CollectionId),
    /// Rows that never change.
    Constant(RecordBatch),
    /// Filters and projections, without state.
    Linear(Linear),
    /// The sum of its inputs (UNION ALL).
    Union(Union),
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

impl Operator {
    fn kind(&self) -> &dyn OperatorKind {
        match self {
            Operator::Input(collection) => collection,
            Operator::Constant(rows) => rows,
            Operator::Linear(linear) => linear,
            Operator::Union(union) => union,
            Operator::Join(join) => join,
            Operator::SemiJoin(semi) => semi,
            Operator::Reduce(reduce) => reduce,
            Operator::Set(set) => set,
            Operator::TopK(top_k) => top_k,
        }
    }

    fn kind_mut(&mut self) -> &mut dyn OperatorKind {
        match self {
            Operator::Input(collection) => collection,
            Operator::Constant(rows) => rows,
            Operator::Linear(linear) => linear,
            Operator::Union(union) => union,
            Operator::Join(join) => join,
            Operator::SemiJoin(semi) => semi,
            Operator::Reduce(reduce) => reduce,
            Operator::Set(set) => set,
            Operator::TopK(top_k) => top_k,
        }
    }

    /// Returns the name of the operator's kind, which reports of its work have too.
    pub fn name(&self) -> &'static str {
        self.kind().name()
    }

    /// Returns what the operator reads, in order; one that is read twice appears twice.
    pub fn input_ids(&self) -> Vec<InputId> {
        self.kind().input_ids()
    }

    /// Returns the nodes that the operator reads, itself or through `arrangements`, which are those of its plan.
    pub fn inputs(&self, arrangements: &[Arrangement]) -> impl Iterator<Item = NodeId> {
        self.input_ids().into_iter().map(|input| match input {
            InputId::Node(id) => id,
            InputId::Arrangement(id) => arrangements[id.0].input,
        })
    }

    /// Replaces the numbers of the nodes and arrangements that the operator reads.
    pub fn map_inputs(&mut self, map: &mut dyn MapInputs) {
        self.kind_mut().map_inputs(map);
    }

    /// Whether there can be a row or a group on which the operator fails.
    pub fn can_fail(&self) -> bool {
        self.kind().can_fail()
    }

    /// Returns a text that two operators share exactly when they compute the same rows from the same inputs, or `None`
    /// if only the operators themselves can be compared.
    pub fn identity(&self) -> Option<String> {
        self.kind().identity()
    }

    /// Gives the operator's columns the names in `schema`, which differs from the node's schema in names alone.
    pub fn rename(&mut self, schema: &SchemaRef) {
        self.kind_mut().rename(schema);
    }

    pub(super) fn net(&self, plan: &dyn Nodes) -> Net {
        self.kind().net(plan)
    }

    pub(super) fn explain(&self, explaining: &Explaining<'_>) -> Vec<String> {
        self.kind().explain(explaining)
    }
}
