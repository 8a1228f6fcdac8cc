//! The first rows of each group in an order.

use super::id::NodeId;
use super::operator_kind::{Explaining, InputId, MapInputs, Net, Nodes, OperatorKind};

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

impl OperatorKind for TopK {
    fn name(&self) -> &'static str {
        "top_k"
    }

    fn input_ids(&self) -> Vec<InputId> {
        vec![InputId::Node(self.input)]
    }

    fn map_inputs(&mut self, map: &mut dyn MapInputs) {
        self.input = map.node(self.input);
    }

    fn net(&self, _: &dyn Nodes) -> Net {
        Net::Always
    }

    fn can_fail(&self) -> bool {
        false
    }

    fn explain(&self, explaining: &Explaining<'_>) -> Vec<String> {
        let key = |key: &SortKey| {
            let direction = if key.descending { " desc" } else { "" };
            let nulls = if key.nulls_first { " nulls first" } else { "" };
            format!("{}{direction}{nulls}", explaining.columns(self.input, &[key.column]))
        };
        let order: Vec<String> = self.order.iter().map(key).collect();
        let group = explaining.columns(self.input, &self.group);
        let limit = self.limit.map_or_else(String::new, |limit| format!(" limit {limit}"));
        let offset = if self.offset > 0 { format!(" offset {}", self.offset) } else { String::new() };
        vec![format!("TopK by [{group}] order [{}]{limit}{offset}", order.join(", "))]
    }
}
