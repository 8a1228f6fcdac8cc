//! Rows that never change.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use super::operator_kind::{Explaining, InputId, MapInputs, Net, Nodes, OperatorKind};
use crate::update::build_rows;

impl OperatorKind for RecordBatch {
    fn name(&self) -> &'static str {
        "constant"
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

    fn explain(&self, _: &Explaining<'_>) -> Vec<String> {
        vec![format!("Constant rows={}", self.num_rows())]
    }

    /// The text of a large batch is abbreviated.
    fn identity(&self) -> Option<String> {
        None
    }

    fn rename(&mut self, schema: &SchemaRef) {
        *self = build_rows(schema, self.columns().to_vec(), self.num_rows());
    }
}
