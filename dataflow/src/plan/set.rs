//! EXCEPT and INTERSECT on whole rows.

use super::id::NodeId;
use super::operator_kind::{Explaining, InputId, MapInputs, Net, Nodes, OperatorKind};

/// How the multiplicities l and r of a row in the two inputs determine its multiplicity in the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SetOperator {
    /// 1 if l > 0 and r = 0.
    Except,
    /// max(l - r, 0).
    ExceptAll,
    /// 1 if l > 0 and r > 0.
    Intersect,
    /// min(l, r).
    IntersectAll,
}

/// Two inputs with the node's schema, compared row by row; NULLs are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetOperation {
    /// Left input.
    pub left: NodeId,
    /// Right input.
    pub right: NodeId,
    /// How the multiplicities are combined.
    pub operator: SetOperator,
}

impl OperatorKind for SetOperation {
    fn name(&self) -> &'static str {
        "set"
    }

    fn input_ids(&self) -> Vec<InputId> {
        vec![InputId::Node(self.left), InputId::Node(self.right)]
    }

    fn map_inputs(&mut self, map: &mut dyn MapInputs) {
        self.left = map.node(self.left);
        self.right = map.node(self.right);
    }

    fn net(&self, _: &dyn Nodes) -> Net {
        Net::Always
    }

    fn can_fail(&self) -> bool {
        false
    }

    fn explain(&self, _: &Explaining<'_>) -> Vec<String> {
        vec![format!("{:?}", self.operator)]
    }
}
