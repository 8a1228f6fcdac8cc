//! Gives the input of a DISTINCT ON at least as many columns as its output has.
//!
//! The rule that removes columns takes the numbers of the columns that are read of a DISTINCT ON for numbers of columns
//! of its input, and panics if the input has fewer. The columns that are added are constant and read by nobody.

use std::sync::Arc;

use datafusion::common::Result;
use datafusion::common::tree_node::Transformed;
use datafusion::logical_expr::{Distinct, DistinctOn, Expr, LogicalPlan, LogicalPlanBuilder, lit};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

/// The optimiser rule that this module describes.
#[derive(Debug)]
pub(super) struct WidenDistinctOn;

impl OptimizerRule for WidenDistinctOn {
    fn name(&self) -> &str {
        "widen_distinct_on"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Distinct(Distinct::On(mut distinct)) = plan else { return Ok(Transformed::no(plan)) };
        let missing = distinct.select_expr.len().saturating_sub(distinct.input.schema().fields().len());
        if missing > 0 {
            distinct.input = Arc::new(widened(&distinct, missing)?);
        }
        let plan = LogicalPlan::Distinct(Distinct::On(distinct));
        Ok(if missing > 0 { Transformed::yes(plan) } else { Transformed::no(plan) })
    }
}

/// Returns the input with `missing` more columns, whose names are not taken.
fn widened(distinct: &DistinctOn, missing: usize) -> Result<LogicalPlan> {
    let schema = distinct.input.schema();
    let is_taken = |name: &str| schema.fields().iter().any(|field| field.name() == name);
    let unused = (0_usize..).map(|number| format!("unused {number}")).filter(|name| !is_taken(name)).take(missing);
    let columns = schema.columns().into_iter().map(Expr::Column);
    let columns: Vec<Expr> = columns.chain(unused.map(|name| lit(true).alias(name))).collect();
    LogicalPlanBuilder::from(Arc::clone(&distinct.input)).project(columns)?.build()
}
