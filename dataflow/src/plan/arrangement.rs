//! Indexes of the rows of nodes.

use super::id::NodeId;

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
