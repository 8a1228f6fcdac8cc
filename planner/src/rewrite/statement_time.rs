//! Replaces `now()` and similar functions in a query that runs once by the time of the run.
//!
//! This runs before constants are folded, so that values computed from the time use our arithmetic.

use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::simplify::{ExprSimplifyResult, SimplifyContext};
use datafusion::logical_expr::{Expr, LogicalPlan, Volatility};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::expression::rewrite_each;

/// The optimiser rule; it does nothing if the configuration has no start time.
#[derive(Debug)]
pub(super) struct StatementTime;

impl OptimizerRule for StatementTime {
    fn name(&self) -> &str {
        "statement_time"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let Some(moment) = config.query_execution_start_time() else { return Ok(Transformed::no(plan)) };
        let context = SimplifyContext::builder().with_query_execution_start_time(Some(moment)).build();
        rewrite_each(plan, |expr| expr.transform_up(|expr| at(expr, &context)))
    }
}

/// Replaces a function of the current time by its value.
fn at(expr: Expr, context: &SimplifyContext) -> Result<Transformed<Expr>> {
    match expr {
        Expr::ScalarFunction(call)
            if call.args.is_empty() && call.func.signature().volatility == Volatility::Stable =>
        {
            match call.func.simplify(Vec::new(), context)? {
                ExprSimplifyResult::Simplified(value) => Ok(Transformed::yes(value)),
                ExprSimplifyResult::Original(_) => Ok(Transformed::no(Expr::ScalarFunction(call))),
            }
        }
        other => Ok(Transformed::no(other)),
    }
}
