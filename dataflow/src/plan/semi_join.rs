//! Rows selected by the presence of their key on another side.

use super::id::{ArrangementId, NodeId};
use super::operator_kind::{Explaining, InputId, MapInputs, Net, Nodes, OperatorKind};

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

impl OperatorKind for SemiJoin {
    fn name(&self) -> &'static str {
        "semi_join"
    }

    fn input_ids(&self) -> Vec<InputId> {
        vec![InputId::Arrangement(self.left), InputId::Node(self.right)]
    }

    fn map_inputs(&mut self, map: &mut dyn MapInputs) {
        self.left = map.arrangement(self.left);
        self.right = map.node(self.right);
    }

    fn net(&self, _: &dyn Nodes) -> Net {
        Net::Unknown
    }

    fn can_fail(&self) -> bool {
        false
    }

    fn explain(&self, explaining: &Explaining<'_>) -> Vec<String> {
        let left = explaining.plan.arrangement(self.left);
        let on = [explaining.columns(left.input, &left.key), explaining.columns(self.right, &self.right_key)];
        vec![format!("{:?}Join on [{}] = [{}]", self.kind, on[0], on[1])]
    }
}
