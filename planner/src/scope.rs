//! The columns that the expressions of a plan node can refer to.

use datafusion::common::DFSchema;
use datafusion::logical_expr::LogicalPlan;

/// Returns the columns of all inputs of `node`, one input after the other.
pub(crate) fn scope_of(node: &LogicalPlan) -> DFSchema {
    let mut scope = DFSchema::empty();
    for input in node.inputs() {
        scope.merge(input.schema());
    }
    scope
}
