//! Joins of two arrangements, and rows selected by the presence of a key.

use std::sync::Arc;

use crate::Scalar;
use crate::plan::{ArrangementId, NodeId};

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

/// Inner equi-join: every pair of rows with equal keys. Both keys have the same types; an empty key is a cross join.
#[derive(Clone, Debug)]
pub struct Join {
    /// One side.
    pub left: ArrangementId,
    /// The other.
    pub right: ArrangementId,
    /// The node's columns, in order.
    pub output: Vec<JoinColumn>,
    /// A condition over the output columns that a pair must meet.
    pub residual: Option<Arc<dyn Scalar>>,
}

/// Whether rows with a partner stay or go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SemiJoinKind {
    /// Rows whose key the other side has.
    Semi,
    /// Rows whose key the other side does not have.
    Anti,
}

/// Rows of `left` by whether `right` has a row with their key; multiplicities of `left` are kept.
///
/// The node's columns are the left arrangement's: key columns, then value columns. NULLs in keys are equal here;
/// a plan that wants SQL's `=` filters them on both sides and unions the rows of an anti join back in.
#[derive(Clone, Debug)]
pub struct SemiJoin {
    /// The rows to select.
    pub left: ArrangementId,
    /// Where keys are looked up: only its `right_key` columns matter.
    pub right: NodeId,
    /// Columns of `right`, of the types of the left key.
    pub right_key: Vec<usize>,
    /// Which rows stay.
    pub kind: SemiJoinKind,
}
