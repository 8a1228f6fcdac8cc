//! The columns that the expressions of a plan node see.

use datafusion::common::DFSchema;
use datafusion::logical_expr::LogicalPlan;

/// The columns of all inputs of `node`, one after the other.
pub(crate) fn scope_of(node: &LogicalPlan) -> DFSchema {
    let mut scope = DFSchema::empty();
    for input in node.inputs() {
        scope.merge(input.schema());
    }
    scope
}
