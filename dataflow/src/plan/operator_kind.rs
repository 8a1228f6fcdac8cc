//! What each kind of operator tells about itself. Whoever asks does so through `Operator`, whatever the kind is.

use std::fmt;

use arrow::datatypes::{Schema, SchemaRef};

use super::arrangement::Arrangement;
use super::id::{ArrangementId, NodeId};
use crate::CollectionId;

/// Something that an operator reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InputId {
    /// The rows of a node, as they change.
    Node(NodeId),
    /// The rows of an arrangement, as they change and by key.
    Arrangement(ArrangementId),
}

/// Gives nodes and arrangements other numbers.
pub trait MapInputs {
    /// Returns the number that takes the place of `id`.
    fn node(&mut self, id: NodeId) -> NodeId;

    /// Returns the number that takes the place of `id`.
    fn arrangement(&mut self, id: ArrangementId) -> ArrangementId;
}

/// Whether the changes that an operator sends are net at each time: no row is both inserted and removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Net {
    Always,
    /// If those of this node, which it reads, are.
    Like(NodeId),
    Unknown,
}

/// The facts that the file of each kind must give.
pub(super) trait OperatorKind: fmt::Debug {
    /// Returns the name of the kind in reports and in the messages of broken invariants.
    fn name(&self) -> &'static str;

    /// Returns what the operator reads, in order; one that is read twice appears twice.
    fn input_ids(&self) -> Vec<InputId>;

    /// Replaces the numbers of all that it reads.
    fn map_inputs(&mut self, map: &mut dyn MapInputs);

    /// Whether its changes are net at each time.
    fn net(&self, plan: &dyn Nodes) -> Net;

    /// Whether there can be a row or a group on which it fails.
    fn can_fail(&self) -> bool;

    /// Returns its lines in the text of a plan, the last thing it does first.
    fn explain(&self, explaining: &Explaining<'_>) -> Vec<String>;

    /// Returns a text that two operators share exactly when they compute the same rows from the same inputs, or `None`
    /// if only the operators themselves can be compared. Must not contain the debug text of an expression, which is not
    /// canonical.
    fn identity(&self) -> Option<String> {
        Some(format!("{self:?}"))
    }

    /// Gives its columns the names in `schema`, which differs from the node's schema in names alone. Only a kind that
    /// holds names or rows of its own has something to do.
    fn rename(&mut self, _schema: &SchemaRef) {}
}

/// The nodes and arrangements of a plan.
pub(super) trait Nodes {
    /// Returns the schema of a node.
    fn schema_of(&self, id: NodeId) -> &SchemaRef;

    /// Returns an arrangement.
    fn arrangement(&self, id: ArrangementId) -> &Arrangement;
}

/// What an operator is told when it explains itself.
pub(super) struct Explaining<'a> {
    pub(super) plan: &'a dyn Nodes,
    /// The schema of the operator's output.
    pub(super) schema: &'a Schema,
    /// Returns the names of relations and views.
    pub(super) name: &'a dyn Fn(CollectionId) -> String,
}

impl Explaining<'_> {
    /// Returns the names of some columns of a node.
    pub(super) fn columns(&self, node: NodeId, columns: &[usize]) -> String {
        names(self.plan.schema_of(node), columns)
    }
}

/// Returns the names of some columns, separated by commas.
pub(super) fn names(schema: &Schema, columns: &[usize]) -> String {
    columns.iter().map(|column| schema.field(*column).name().as_str()).collect::<Vec<_>>().join(", ")
}
