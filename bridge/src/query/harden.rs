//! Makes a query evaluate its expressions as views do: exactly, each row on its own, with overflow as an error. To
//! harden an expression means to replace it by one that does so; the others are called soft.
//!
//! Soft expressions are replaced in the operators that are known here. A plan with a soft expression in any other
//! operator is refused, since its answer could silently differ from that of a view.

use std::sync::Arc;

use datafusion::common::tree_node::{Transformed, TreeNode, TreeNodeRecursion};
use datafusion::common::{DataFusionError, Result, not_impl_err};
use datafusion::config::ConfigOptions;
use datafusion::physical_expr::PhysicalSortExpr;
use datafusion::physical_expr::aggregate::AggregateFunctionExpr;
use datafusion::physical_optimizer::PhysicalOptimizerRule;
use datafusion::physical_plan::aggregates::{AggregateExec, PhysicalGroupBy};
use datafusion::physical_plan::filter::{FilterExec, FilterExecBuilder};
use datafusion::physical_plan::joins::utils::JoinFilter;
use datafusion::physical_plan::joins::{
    HashJoinExec, HashJoinExecBuilder, NestedLoopJoinExec, NestedLoopJoinExecBuilder,
};
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::physical_plan::sorts::sort::SortExec;
use datafusion::physical_plan::{ExecutionPlan, PhysicalExpr};
use laminardb_planner::scalar::harden;

type Expr = Arc<dyn PhysicalExpr>;
type Plan = Arc<dyn ExecutionPlan>;

/// The optimiser rule that hardens all expressions. It must run after all rules that inspect expressions: they cannot
/// look into hardened ones.
#[derive(Debug)]
pub(super) struct HardenExpressions;

impl PhysicalOptimizerRule for HardenExpressions {
    fn optimize(&self, plan: Plan, _config: &ConfigOptions) -> Result<Plan> {
        plan.transform_up(harden_node).map(|hardened| hardened.data)
    }

    fn name(&self) -> &str {
        "harden_expressions"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Returns the hardened form of `expr`, or `None` if `expr` is not soft.
fn changed(expr: &Expr) -> Option<Expr> {
    let hardened = harden(Arc::clone(expr));
    (!Arc::ptr_eq(&hardened, expr)).then_some(hardened)
}

fn hard(expr: &Expr) -> Expr {
    harden(Arc::clone(expr))
}

/// Hardens the expressions of one operator, but not those of its inputs.
fn harden_node(plan: Plan) -> Result<Transformed<Plan>> {
    if !has_soft_expression(&plan)? {
        return Ok(Transformed::no(plan));
    }
    let replaced: Plan = if let Some(filter) = plan.downcast_ref::<FilterExec>() {
        Arc::new(FilterExecBuilder::from(filter).with_predicate(hard(filter.predicate())).build()?)
    } else if let Some(projection) = plan.downcast_ref::<ProjectionExec>() {
        let columns = projection.expr().iter();
        let columns: Vec<ProjectionExpr> =
            columns.map(|column| ProjectionExpr { expr: hard(&column.expr), alias: column.alias.clone() }).collect();
        Arc::new(ProjectionExec::try_new(columns, Arc::clone(projection.input()))?)
    } else if let Some(aggregate) = plan.downcast_ref::<AggregateExec>() {
        harden_aggregate(aggregate)?
    } else if let Some(join) = plan.downcast_ref::<HashJoinExec>() {
        let on = join.on().iter().map(|(left, right)| (hard(left), hard(right))).collect();
        let filter = join.filter().map(harden_join_filter);
        HashJoinExecBuilder::from(join).with_on(on).with_filter(filter).recompute_properties().build_exec()?
    } else if let Some(join) = plan.downcast_ref::<NestedLoopJoinExec>() {
        let filter = join.filter().map(harden_join_filter);
        Arc::new(NestedLoopJoinExecBuilder::from(join).with_filter(filter).build()?)
    } else if let Some(sort) = plan.downcast_ref::<SortExec>() {
        harden_sort(sort)?
    } else {
        return not_impl_err!("an expression that can fail inside {}", plan.name());
    };
    Ok(Transformed::yes(replaced))
}

fn has_soft_expression(plan: &Plan) -> Result<bool> {
    let mut found = false;
    plan.apply_expressions(&mut |expr| {
        found |= changed(expr).is_some();
        Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    })?;
    Ok(found)
}

fn harden_join_filter(filter: &JoinFilter) -> JoinFilter {
    let schema = Arc::clone(filter.schema());
    JoinFilter::new(hard(filter.expression()), filter.column_indices().to_vec(), schema)
}

fn harden_sort(sort: &SortExec) -> Result<Plan> {
    let keys = sort.expr().iter().map(|key| PhysicalSortExpr { expr: hard(&key.expr), options: key.options });
    let keys = datafusion::physical_expr::LexOrdering::new(keys)
        .ok_or_else(|| DataFusionError::Internal("a sort without keys".to_owned()))?;
    let hardened = SortExec::new(keys, Arc::clone(sort.input()))
        .with_fetch(sort.fetch())
        .with_preserve_partitioning(sort.preserve_partitioning());
    Ok(Arc::new(hardened))
}

fn harden_aggregate(aggregate: &AggregateExec) -> Result<Plan> {
    let group = aggregate.group_expr();
    let keys = |keys: &[(Expr, String)]| keys.iter().map(|(expr, name)| (hard(expr), name.clone())).collect();
    let group = PhysicalGroupBy::new(
        keys(group.expr()),
        keys(group.null_expr()),
        group.groups().to_vec(),
        group.has_grouping_set(),
    );
    let functions: Vec<Arc<AggregateFunctionExpr>> =
        aggregate.aggr_expr().iter().map(harden_function).collect::<Result<_>>()?;
    let filters = aggregate.filter_expr().iter().map(|filter| filter.as_ref().map(hard)).collect();
    let hardened = AggregateExec::try_new(
        *aggregate.mode(),
        group,
        functions,
        filters,
        Arc::clone(aggregate.input()),
        aggregate.input_schema(),
    )?;
    Ok(Arc::new(hardened.with_limit_options(aggregate.limit_options())))
}

fn harden_function(function: &Arc<AggregateFunctionExpr>) -> Result<Arc<AggregateFunctionExpr>> {
    let arguments = function.expressions().iter().map(hard).collect();
    let order = function.order_bys().iter().map(|key| hard(&key.expr)).collect();
    match function.with_new_expressions(arguments, order) {
        Some(hardened) => Ok(Arc::new(hardened)),
        None => not_impl_err!("an expression that can fail inside {}", function.name()),
    }
}
