//! The ordered list of rewrite rules. All rules that rewrite an expression are ours; DataFusion's only move plan nodes.
//!
//! A rule keeps every value and every NULL, and makes no row fail that did not fail before. These DataFusion rules do
//! not: `SimplifyExpressions` (moves casts to constants, drops NULLs), `CommonSubexprEliminate` (computes what a guard
//! excludes) and `PushDownFilter` (moves conditions past their guards, and below operators that make equal values one).
//!
//! These are left out on purpose too, as they are wrong or more expensive when rows are retracted: `PushDownLimit` (a
//! limit below a join or union is not maintained by what is above), `EliminateJoin` (inner to semi join: a join and a
//! distinct), `SingleDistinctToGroupBy`, `ReplaceDistinctWithAggregate`, `EliminateGroupByConstant` (drops stable
//! functions), `UnionsToFilter`, the leaf-expression rules, and DataFusion's decorrelation (wrong answers; see
//! `decorrelate`).

mod bounded;
mod can_fail;
mod conditions;
mod cross_joins;
mod equijoin_keys;
mod expression;
mod factor_disjunction;
mod fold_constants;
mod gather_in_list;
mod guard_aggregate;
mod join_chain;
mod push_down_filter;
mod scope_check;
mod share_expression;
mod simplify_boolean;
mod statement_time;
mod widen_distinct_on;
mod without;

use std::sync::Arc;

use chrono::{SubsecRound, Utc};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::eliminate_duplicated_expr::EliminateDuplicatedExpr;
use datafusion::optimizer::eliminate_filter::EliminateFilter;
use datafusion::optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::optimize_unions::OptimizeUnions;
use datafusion::optimizer::propagate_empty_relation::PropagateEmptyRelation;
use datafusion::optimizer::{Optimizer, OptimizerContext, OptimizerRule};

pub(crate) use self::conditions::movable;
use crate::bind::config_options;
use crate::decorrelate::decorrelate;
use crate::{BoundQuery, PlanError, part};

#[doc(hidden)]
pub use without::without_rule;

/// Returns the names of the rules, in the order in which they run.
#[doc(hidden)]
pub fn rule_names() -> Vec<String> {
    rules().iter().map(|rule| rule.name().to_owned()).collect()
}

/// Rewrites a bound query whose answer does not depend on when it runs; checks that all columns of the result resolve.
pub fn optimise(query: &BoundQuery) -> Result<LogicalPlan, PlanError> {
    query.places.planning(|| optimise_plan(query.logical.clone()))
}

/// Rewrites a bound query that runs once, now; checks that all columns of the result resolve.
pub fn optimise_once(query: &BoundQuery) -> Result<LogicalPlan, PlanError> {
    // Timestamps have microseconds, so the time is truncated to them.
    let context = context().with_query_execution_start_time(Utc::now().trunc_subsecs(6));
    let plan = query.places.planning(|| rewritten(query.logical.clone(), &context));
    plan.map_err(|error| query.places.locate(error).of_query())
}

/// Rewrites a bound plan; its schema does not change.
pub(crate) fn optimise_plan(plan: LogicalPlan) -> Result<LogicalPlan, PlanError> {
    // Without a start time `now()` is not folded into a constant.
    rewritten(plan, &context().without_query_execution_start_time())
}

fn context() -> OptimizerContext {
    OptimizerContext::new_with_config_options(Arc::new(config_options()))
}

fn rewritten(plan: LogicalPlan, context: &OptimizerContext) -> Result<LogicalPlan, PlanError> {
    let optimizer = Optimizer::with_rules(without::kept(rules()).into_iter().map(bounded::bounded).collect());
    part::rewritten(plan, &|plan| {
        // After each rule, the optimiser itself checks that the schema has not changed.
        let plan = optimizer.optimize(decorrelate(plan)?, context, |_, _| {})?;
        scope_check::check(&plan)?;
        Ok(plan)
    })
}

/// Returns the rules in the order in which they run. They are repeated until nothing changes, up to a small limit.
fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    vec![
        // Nested unions become one before filters are pushed into each branch.
        Arc::new(OptimizeUnions::new()),
        // Before constants are folded, because a value computed from the current time is a constant.
        Arc::new(statement_time::StatementTime),
        Arc::new(fold_constants::FoldConstants),
        Arc::new(simplify_boolean::SimplifyBoolean),
        Arc::new(gather_in_list::GatherInList),
        // A disjunction may contain the keys of an equijoin.
        Arc::new(factor_disjunction::FactorDisjunction),
        Arc::new(equijoin_keys::EquijoinKeys::default()),
        Arc::new(EliminateDuplicatedExpr::new()),
        Arc::new(EliminateFilter::new()),
        Arc::new(cross_joins::CrossJoins::default()),
        Arc::new(PropagateEmptyRelation::new()),
        // This needs the filters above the joins, so it runs before they are pushed down.
        Arc::new(EliminateOuterJoin::new()),
        Arc::new(push_down_filter::PushDownFilter),
        // Before equal parts are shared, because a part that FILTER guards must not be shared.
        Arc::new(guard_aggregate::GuardAggregate),
        Arc::new(share_expression::ShareExpression),
        Arc::new(widen_distinct_on::WidenDistinctOn),
        // Last, because every other rule may leave columns that are no longer read.
        Arc::new(OptimizeProjections::new()),
    ]
}

#[cfg(test)]
mod tests;
