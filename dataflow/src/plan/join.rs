//! Joins of two arrangements, and rows selected by the presence of a key.

use std::sync::Arc;

use super::id::{ArrangementId, NodeId};
use crate::Scalar;

/// A column of a join's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JoinColumn {
    /// Position among the key columns.
    Key(usize),
    /// Position among the left arrangement's value columns.
    Left(usize),
    /// Position among the right arrangement's value columns.
    Right(usize),
}

/// Inner equi-join: every pair of rows with equal keys. Both keys must have the same types; an empty key gives a cross
/// join.
#[derive(Clone, Debug)]
pub struct Join {
    /// The arrangement of the left side.
    pub left: ArrangementId,
    /// The arrangement of the right side.
    pub right: ArrangementId,
    /// The node's columns, in order.
    pub output: Vec<JoinColumn>,
    /// A condition over the output columns that a pair must meet.
    pub residual: Option<Arc<dyn Scalar>>,
}

/// Whether rows with a match on the other side are kept or dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SemiJoinKind {
    /// Keeps the rows whose key the other side has.
    Semi,
    /// Keeps the rows whose key the other side does not have.
    Anti,
}

/// Selects the rows of `left` by whether `right` has a row with their key; multiplicities of `left` are kept.
///
/// The node's columns are the left arrangement's: key columns, then value columns. NULLs in keys are equal here;
/// a plan that wants SQL's `=` filters them on both sides and unions the rows of an anti join back in.
#[derive(Clone, Debug)]
pub struct SemiJoin {
    /// The rows to select from.
    pub left: ArrangementId,
    /// The node in which keys are looked up; only its `right_key` columns matter.
    pub right: NodeId,
    /// Columns of `right`, with the types of the left key.
    pub right_key: Vec<usize>,
    /// Which rows are kept.
    pub kind: SemiJoinKind,
}
