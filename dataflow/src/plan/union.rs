//! The sum of several nodes.

use super::id::NodeId;
use super::operator_kind::{Explaining, InputId, MapInputs, Net, Nodes, OperatorKind};

/// Adds up the rows of its inputs (UNION ALL); all have the node's schema.
#[derive(Clone, Debug)]
pub struct Union {
    /// The nodes it reads.
    pub inputs: Vec<NodeId>,
}

impl OperatorKind for Union {
    fn name(&self) -> &'static str {
        "union"
    }

    fn input_ids(&self) -> Vec<InputId> {
        self.inputs.iter().copied().map(InputId::Node).collect()
    }

    fn map_inputs(&mut self, map: &mut dyn MapInputs) {
        self.inputs.iter_mut().for_each(|input| *input = map.node(*input));
    }

    fn net(&self, _: &dyn Nodes) -> Net {
        Net::Unknown
    }

    fn can_fail(&self) -> bool {
        false
    }

    fn explain(&self, _: &Explaining<'_>) -> Vec<String> {
        vec!["Union".to_owned()]
    }
}
