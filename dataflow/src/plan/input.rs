//! Reads all changes of a relation or view.

use super::operator_kind::{Explaining, InputId, MapInputs, Net, Nodes, OperatorKind};
use crate::CollectionId;

impl OperatorKind for CollectionId {
    fn name(&self) -> &'static str {
        "input"
    }

    fn input_ids(&self) -> Vec<InputId> {
        Vec::new()
    }

    fn map_inputs(&mut self, _: &mut dyn MapInputs) {}

    fn net(&self, _: &dyn Nodes) -> Net {
        Net::Unknown
    }

    fn can_fail(&self) -> bool {
        false
    }

    fn explain(&self, explaining: &Explaining<'_>) -> Vec<String> {
        vec![format!("Input {}", (explaining.name)(*self))]
    }
}
