//! Computes the argument of an aggregate with FILTER only for the rows that pass the filter.
//!
//! `sum(f(x)) FILTER (WHERE p)` becomes `sum(CASE WHEN p THEN f(x) END) FILTER (WHERE p)` if `f(x)` can fail.

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::expr_rewriter::NamePreserver;
use datafusion::logical_expr::{Case, Expr, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::can_fail::can_fail;
use crate::scope::scope_of;

/// The optimiser rule that this module describes.
#[derive(Debug)]
pub(super) struct GuardAggregate;

impl OptimizerRule for GuardAggregate {
    fn name(&self) -> &str {
        "guard_aggregate"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let LogicalPlan::Aggregate(_) = plan else { return Ok(Transformed::no(plan)) };
        let names = NamePreserver::new_for_projection();
        let schema = scope_of(&plan);
        plan.map_expressions(|expr| {
            let name = names.save(&expr);
            Ok(guarded(expr, &schema).update_data(|expr| name.restore(expr)))
        })
    }
}

fn guarded(expr: Expr, schema: &DFSchema) -> Transformed<Expr> {
    match expr {
        Expr::Alias(mut alias) => {
            let inner = guarded(*alias.expr, schema);
            alias.expr = Box::new(inner.data);
            if inner.transformed { Transformed::yes(Expr::Alias(alias)) } else { Transformed::no(Expr::Alias(alias)) }
        }
        Expr::AggregateFunction(mut call) => {
            let Some(filter) = call.params.filter.clone() else {
                return Transformed::no(Expr::AggregateFunction(call));
            };
            let mut any = false;
            for argument in &mut call.params.args {
                // The rules run repeatedly; without the second test each pass would add another CASE.
                if can_fail(argument, schema) && !is_guarded_by(argument, &filter) {
                    any = true;
                    *argument = under(std::mem::take(argument), filter.as_ref().clone());
                }
            }
            let expr = Expr::AggregateFunction(call);
            if any { Transformed::yes(expr) } else { Transformed::no(expr) }
        }
        other => Transformed::no(other),
    }
}

/// Returns `argument` where `filter` is true, and NULL elsewhere.
pub(super) fn under(argument: Expr, filter: Expr) -> Expr {
    Expr::Case(Case::new(None, vec![(Box::new(filter), Box::new(argument))], None))
}

/// Returns whether the rule has already guarded `argument` with `filter`.
fn is_guarded_by(argument: &Expr, filter: &Expr) -> bool {
    matches!(argument, Expr::Case(Case { expr: None, when_then_expr, else_expr: None })
        if matches!(when_then_expr.as_slice(), [(when, _)] if when.as_ref() == filter))
}
