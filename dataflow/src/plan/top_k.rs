//! The first rows of each group in an order.

use super::id::NodeId;

/// A column to order by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SortKey {
    /// Column of the input.
    pub column: usize,
    /// Whether the greatest value comes first.
    pub descending: bool,
    /// Whether NULLs come before all values, in either direction.
    pub nulls_first: bool,
}

/// Keeps rows `offset .. offset + limit` of each group, in the order of `order` and then of all columns ascending, so
/// that ties are always broken the same way. The node's schema is its input's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopK {
    /// The node it reads.
    pub input: NodeId,
    /// Columns whose equal values form a group; if there are none, all rows form one group.
    pub group: Vec<usize>,
    /// The sort keys, most significant first.
    pub order: Vec<SortKey>,
    /// Maximum number of rows per group; `None` keeps all rows after the offset.
    pub limit: Option<u64>,
    /// Number of rows to skip in each group.
    pub offset: u64,
    /// Whether the input never retracts, so that only the first `offset + limit` rows need to be kept.
    pub monotonic: bool,
}
