//! The first rows of each group in an order.

use crate::plan::NodeId;

/// A column to order by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SortKey {
    /// Column of the input.
    pub column: usize,
    /// Greatest first.
    pub descending: bool,
    /// NULLs before all values, whatever the direction.
    pub nulls_first: bool,
}

/// Rows `offset .. offset + limit` of each group, in the order of `order` and then of all columns ascending, so that
/// ties are cut the same way every time. The node's schema is its input's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopK {
    /// What it reads.
    pub input: NodeId,
    /// Columns whose equal values make a group; empty: one group.
    pub group: Vec<usize>,
    /// Most significant first.
    pub order: Vec<SortKey>,
    /// How many rows; `None`: all after the offset.
    pub limit: Option<u64>,
    /// How many rows to pass over.
    pub offset: u64,
    /// Whether the input never retracts, so that only the first `offset + limit` rows need to be kept.
    pub monotonic: bool,
}
