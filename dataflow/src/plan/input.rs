//! Reads all changes of a relation or view.

use super::kind::{InputId, Kind, MapInputs, Net, Nodes, Place};
use crate::CollectionId;

impl Kind for CollectionId {
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

    fn explain(&self, place: &Place<'_>) -> Vec<String> {
        vec![format!("Input {}", (place.name)(*self))]
    }
}
