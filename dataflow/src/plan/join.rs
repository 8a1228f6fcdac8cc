//! Joins of two arrangements.

use std::sync::Arc;

use super::id::ArrangementId;
use super::operator_kind::{Explaining, InputId, MapInputs, Net, Nodes, OperatorKind};
use super::text::named_text;
use crate::Scalar;

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

/// Inner equi-join: every pair of rows with equal keys. Both keys must have the same types; an empty key gives a cross
/// join.
#[derive(Clone, Debug)]
pub struct Join {
    /// The arrangement of the left side.
    pub left: ArrangementId,
    /// The arrangement of the right side.
    pub right: ArrangementId,
    /// The node's columns, in order.
    pub output: Vec<JoinColumn>,
    /// A condition over the output columns that a pair must meet.
    pub residual: Option<Arc<dyn Scalar>>,
}

impl OperatorKind for Join {
    fn name(&self) -> &'static str {
        "join"
    }

    fn input_ids(&self) -> Vec<InputId> {
        vec![InputId::Arrangement(self.left), InputId::Arrangement(self.right)]
    }

    fn map_inputs(&mut self, map: &mut dyn MapInputs) {
        self.left = map.arrangement(self.left);
        self.right = map.arrangement(self.right);
    }

    fn net(&self, _: &dyn Nodes) -> Net {
        Net::Unknown
    }

    fn can_fail(&self) -> bool {
        self.residual.is_some()
    }

    fn explain(&self, explaining: &Explaining<'_>) -> Vec<String> {
        let (left, right) = (explaining.plan.arrangement(self.left), explaining.plan.arrangement(self.right));
        let kind = if left.key.is_empty() { "CrossJoin" } else { "Join" };
        let on = [left, right].map(|side| explaining.columns(side.input, &side.key));
        let residual = self.residual.as_ref().map(|residual| named_text(residual.text(), explaining.schema));
        let condition = residual.map_or_else(String::new, |residual| format!(" where {residual}"));
        vec![format!("{kind} on [{}] = [{}]{condition}", on[0], on[1])]
    }

    fn identity(&self) -> Option<String> {
        let residual = self.residual.as_deref().map(Scalar::text);
        Some(format!("join {:?} {:?} {:?} {residual:?}", self.left, self.right, self.output))
    }
}
