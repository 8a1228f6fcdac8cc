//! Sorts by numbers that have one zero; DataFusion's put -0.0 before 0.0.

use std::mem::take;

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{ExprSchemable, LogicalPlan, lit};

/// Adds 0.0 to the keys of type DOUBLE and REAL, which changes -0.0 and no other number.
pub(super) fn sort_with_one_zero(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Sort(mut sort) = node else { return Ok(Transformed::no(node)) };
    let mut changed = false;
    for key in &mut sort.expr {
        let zero = match key.expr.get_type(sort.input.schema())? {
            DataType::Float64 => lit(0.0_f64),
            DataType::Float32 => lit(0.0_f32),
            _ => continue,
        };
        key.expr = take(&mut key.expr) + zero;
        changed = true;
    }
    let plan = LogicalPlan::Sort(sort);
    Ok(if changed { Transformed::yes(plan) } else { Transformed::no(plan) })
}
