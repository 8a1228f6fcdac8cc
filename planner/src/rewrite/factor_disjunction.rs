//! Rewrites `p AND a OR p AND b` as `p AND (a OR b)`: if `p` equates two columns, it can be the key of a join.

use datafusion::common::tree_node::Transformed;
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Expr, Filter, LogicalPlan};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::can_fail::can_fail;
use super::conditions::{all, alternatives, split};
use crate::scope::scope_of;

/// The optimiser rule, for the conditions of filters and joins.
#[derive(Debug)]
pub(super) struct FactorDisjunction;

impl OptimizerRule for FactorDisjunction {
    fn name(&self) -> &str {
        "factor_disjunction"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        match plan {
            LogicalPlan::Filter(filter) => {
                let factored = factored(&filter.predicate, filter.input.schema());
                Ok(match factored {
                    Some(predicate) => Transformed::yes(LogicalPlan::Filter(Filter::new(predicate, filter.input))),
                    None => Transformed::no(LogicalPlan::Filter(filter)),
                })
            }
            LogicalPlan::Join(mut join) => {
                let pairs = LogicalPlan::Join(join.clone());
                match join.filter.as_ref().and_then(|filter| factored(filter, &scope_of(&pairs))) {
                    Some(filter) => {
                        join.filter = Some(filter);
                        Ok(Transformed::yes(LogicalPlan::Join(join)))
                    }
                    None => Ok(Transformed::no(LogicalPlan::Join(join))),
                }
            }
            other => Ok(Transformed::no(other)),
        }
    }
}

/// Moves the conjuncts that all branches of an OR in `predicate` share out of the OR; `None` if there are none.
pub(super) fn factored(predicate: &Expr, schema: &DFSchema) -> Option<Expr> {
    let mut any = false;
    let mut conjuncts = Vec::new();
    for conjunct in split(predicate.clone()) {
        match factored_or(&conjunct, schema) {
            Some(parts) => {
                any = true;
                conjuncts.extend(parts);
            }
            None => conjuncts.push(conjunct),
        }
    }
    if any { all(conjuncts) } else { None }
}

/// Returns the conjuncts of an OR after the shared ones are moved out, or `None` if nothing is shared.
///
/// If a shared conjunct is NULL, the branches are evaluated on other rows than before, so none of them may fail.
fn factored_or(expr: &Expr, schema: &DFSchema) -> Option<Vec<Expr>> {
    let branches: Vec<Vec<Expr>> = alternatives(expr).into_iter().map(|branch| split(branch.clone())).collect();
    if branches.len() < 2 || can_fail(expr, schema) {
        return None;
    }
    let (first, others) = branches.split_first()?;
    let shared: Vec<Expr> =
        first.iter().filter(|part| others.iter().all(|branch| branch.contains(part))).cloned().collect();
    if shared.is_empty() {
        return None;
    }
    let rest = branches.iter().map(|branch| all(branch.iter().filter(|part| !shared.contains(part)).cloned()));
    // If a branch consists of shared conjuncts only, the shared conjuncts decide the whole OR and the rest is dropped.
    let rest = rest.collect::<Option<Vec<_>>>().and_then(|rest| rest.into_iter().reduce(Expr::or));
    Some(shared.into_iter().chain(rest).collect())
}
