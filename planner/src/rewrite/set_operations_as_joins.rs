//! EXCEPT and INTERSECT as joins, for DataFusion's executor only.
//!
//! With ALL, equal rows are numbered on both sides, so that the n-th of them finds the n-th of the other side; without,
//! the left side is made distinct. NULLs are equal.

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, JoinType, NullEquality, Result};
use datafusion::functions_window::expr_fn::row_number;
use datafusion::logical_expr::{Expr, ExprFunctionExt, LogicalPlan, LogicalPlanBuilder};
use laminardb_dataflow::plan::SetOperator;

use crate::set_operation::SetOperationNode;

/// `plan` without set operation nodes.
pub(super) fn rewrite(plan: LogicalPlan) -> Result<LogicalPlan> {
    let rewritten = plan.transform_up_with_subqueries(|plan| {
        let LogicalPlan::Extension(extension) = &plan else { return Ok(Transformed::no(plan)) };
        match extension.node.as_any().downcast_ref::<SetOperationNode>() {
            Some(set) => Ok(Transformed::yes(as_join(set)?)),
            None => Ok(Transformed::no(plan)),
        }
    })?;
    Ok(rewritten.data)
}

fn as_join(set: &SetOperationNode) -> Result<LogicalPlan> {
    let width = set.left.schema().fields().len();
    let (join_type, all) = match set.operator {
        SetOperator::Except => (JoinType::LeftAnti, false),
        SetOperator::ExceptAll => (JoinType::LeftAnti, true),
        SetOperator::Intersect => (JoinType::LeftSemi, false),
        SetOperator::IntersectAll => (JoinType::LeftSemi, true),
    };
    let (left, right) = (side(&set.left, "__left", all)?, side(&set.right, "__right", all)?);
    let left = if all { left } else { left.distinct()? };
    let keys = |side: &LogicalPlanBuilder| -> Vec<Column> { side.schema().columns() };
    let on = (keys(&left), keys(&right));
    let joined = left.join_detailed(right.build()?, join_type, on, None, NullEquality::NullEqualsNull)?;
    let columns = joined.schema().columns();
    let names = set.left.schema().iter();
    let exprs = columns
        .into_iter()
        .take(width)
        .zip(names)
        .map(|(column, (qualifier, field))| Expr::Column(column).alias_qualified(qualifier.cloned(), field.name()));
    joined.project(exprs.collect::<Vec<_>>())?.build()
}

/// A side with columns `c0`, `c1`, ... of relation `name`; numbered among its equals if `number`.
fn side(plan: &Arc<LogicalPlan>, name: &str, number: bool) -> Result<LogicalPlanBuilder> {
    let columns = plan.schema().columns().into_iter().enumerate();
    let exprs: Vec<Expr> = columns.map(|(at, column)| Expr::Column(column).alias(format!("c{at}"))).collect();
    let mut side = LogicalPlanBuilder::from(plan.as_ref().clone()).project(exprs)?;
    if number {
        let whole: Vec<Expr> = side.schema().columns().into_iter().map(Expr::Column).collect();
        side = side.window([row_number().partition_by(whole).build()?.alias("n")])?;
    }
    side.alias(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lower::tests::context::bind;

    #[test]
    fn rows_are_numbered_only_under_all() {
        let side = |sql: &str| bind(sql).expect("the query is valid").logical;
        let plan = |operator| {
            let left = side("SELECT a, b FROM bag");
            let set = SetOperationNode::plan(left, side("SELECT k, tk FROM u"), operator).expect("two columns each");
            let schema = Arc::clone(set.schema());
            let plan = rewrite(set).expect("a join");
            assert_eq!(plan.schema(), &schema);
            plan.display_indent().to_string()
        };
        assert!(plan(SetOperator::ExceptAll).contains("row_number"));
        assert!(plan(SetOperator::IntersectAll).contains("LeftSemi"));
        assert!(!plan(SetOperator::Except).contains("row_number"));
    }
}
