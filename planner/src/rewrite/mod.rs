//! The ordered list of rewrite rules: DataFusion's that hold under retractions and NULLs, and ours.
//!
//! Left out on purpose, for they are wrong or dearer when rows are taken back: `PushDownLimit` (a limit below a join
//! or union is not maintained by what is above), `EliminateJoin` (inner to semi join: a join and a distinct),
//! `SingleDistinctToGroupBy`, `ReplaceDistinctWithAggregate`, `EliminateGroupByConstant` (drops stable functions),
//! `UnionsToFilter`, the leaf-expression rules, and DataFusion's decorrelation (wrong answers; see `decorrelate`).

mod fold_constants;
mod moment;
mod scope_check;

use std::sync::Arc;

use chrono::{SubsecRound, Utc};
use datafusion::logical_expr::LogicalPlan;
use datafusion::optimizer::common_subexpr_eliminate::CommonSubexprEliminate;
use datafusion::optimizer::eliminate_cross_join::EliminateCrossJoin;
use datafusion::optimizer::eliminate_duplicated_expr::EliminateDuplicatedExpr;
use datafusion::optimizer::eliminate_filter::EliminateFilter;
use datafusion::optimizer::eliminate_outer_join::EliminateOuterJoin;
use datafusion::optimizer::extract_equijoin_predicate::ExtractEquijoinPredicate;
use datafusion::optimizer::optimize_projections::OptimizeProjections;
use datafusion::optimizer::optimize_unions::OptimizeUnions;
use datafusion::optimizer::propagate_empty_relation::PropagateEmptyRelation;
use datafusion::optimizer::push_down_filter::PushDownFilter;
use datafusion::optimizer::simplify_expressions::SimplifyExpressions;
use datafusion::optimizer::{Optimizer, OptimizerContext, OptimizerRule};

use crate::bind::config_options;
use crate::decorrelate::decorrelate;
use crate::{BoundQuery, PlanError, stack};

/// Rewrites a bound query whose answer does not depend on when it runs; the result is checked to resolve.
pub fn optimise(query: &BoundQuery) -> Result<LogicalPlan, PlanError> {
    stack::on_big_stack(|| optimise_plan(query.logical.clone()))
}

/// Rewrites a bound query that runs once, now; the result is checked to resolve.
pub fn optimise_once(query: &BoundQuery) -> Result<LogicalPlan, PlanError> {
    // Timestamps have microseconds.
    let context = context().with_query_execution_start_time(Utc::now().trunc_subsecs(6));
    stack::on_big_stack(|| rewritten(query.logical.clone(), &context))
}

/// Rewrites a bound plan; its schema stays.
pub(crate) fn optimise_plan(plan: LogicalPlan) -> Result<LogicalPlan, PlanError> {
    // Without a start time `now()` is not folded into a constant.
    rewritten(plan, &context().without_query_execution_start_time())
}

fn context() -> OptimizerContext {
    OptimizerContext::new_with_config_options(Arc::new(config_options()))
}

fn rewritten(plan: LogicalPlan, context: &OptimizerContext) -> Result<LogicalPlan, PlanError> {
    let plan = decorrelate(plan)?;
    // After each rule the optimiser itself checks that the schema is what it was.
    let plan = Optimizer::with_rules(rules()).optimize(plan, context, |_, _| {})?;
    scope_check::check(&plan)?;
    Ok(plan)
}

/// In the order they run; repeated until nothing changes, a few times at most.
fn rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    vec![
        // Nested unions become one before filters are pushed into each branch.
        Arc::new(OptimizeUnions::new()),
        // Before constants are folded: what is computed of the moment is one.
        Arc::new(moment::Moment),
        // Before any simplification: constants are computed with our arithmetic, not DataFusion's.
        Arc::new(fold_constants::FoldConstants),
        // Factors common conjuncts out of disjunctions, which is where equi-join keys may hide.
        Arc::new(SimplifyExpressions::new()),
        Arc::new(ExtractEquijoinPredicate::new()),
        Arc::new(EliminateDuplicatedExpr::new()),
        Arc::new(EliminateFilter::new()),
        Arc::new(EliminateCrossJoin::new()),
        Arc::new(PropagateEmptyRelation::new()),
        // Needs filters in place above the joins, so before they are pushed down.
        Arc::new(EliminateOuterJoin::new()),
        Arc::new(PushDownFilter::new()),
        Arc::new(CommonSubexprEliminate::new()),
        // Last: every other rule may leave columns that nobody reads any more.
        Arc::new(OptimizeProjections::new()),
    ]
}

#[cfg(test)]
mod tests;
