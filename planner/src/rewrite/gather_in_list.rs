//! Rewrites `x = 1 OR x = 2 OR x = 3` as `x IN (1, 2, 3)`, which computes `x` once and looks it up.

use arrow::datatypes::DataType;
use datafusion::common::Result;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::logical_expr::expr::InList;
use datafusion::logical_expr::{BinaryExpr, Expr, LogicalPlan, Operator};
use datafusion::optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule};

use super::conditions::alternatives;
use super::expression::rewrite_each;

/// The optimiser rule that this module describes.
#[derive(Debug)]
pub(super) struct GatherInList;

impl OptimizerRule for GatherInList {
    fn name(&self) -> &str {
        "gather_in_list"
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        Some(ApplyOrder::BottomUp)
    }

    fn rewrite(&self, plan: LogicalPlan, _config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        rewrite_each(plan, |expr| expr.transform_down(|expr| Ok(gathered(expr))))
    }
}

/// Rewrites an OR whose operands all test whether the same value is among literals of one type.
pub(super) fn gathered(expr: Expr) -> Transformed<Expr> {
    let branches = alternatives(&expr);
    if branches.len() < 2 {
        return Transformed::no(expr);
    }
    let mut value: Option<&Expr> = None;
    let mut list: Vec<Expr> = Vec::new();
    for branch in branches {
        let Some((asked, literals)) = membership(branch) else { return Transformed::no(expr) };
        if value.is_some_and(|value| value != asked) {
            return Transformed::no(expr);
        }
        value = Some(asked);
        list.extend(literals.into_iter().cloned());
    }
    let types: Vec<DataType> = list.iter().filter_map(literal_type).collect();
    let Some(value) = value.filter(|value| !value.is_volatile()) else { return Transformed::no(expr) };
    if types.is_empty() || types.iter().any(|data_type| *data_type != types[0] || data_type.is_nested()) {
        return Transformed::no(expr);
    }
    Transformed::yes(Expr::InList(InList { expr: Box::new(value.clone()), list, negated: false }))
}

/// Returns the value and the literals of `x = 1` or `x IN (1, 2)`.
fn membership(expr: &Expr) -> Option<(&Expr, Vec<&Expr>)> {
    match expr {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => match (left.as_ref(), right.as_ref()) {
            (Expr::Literal(..), Expr::Literal(..)) => None,
            (value, literal @ Expr::Literal(..)) | (literal @ Expr::Literal(..), value) => Some((value, vec![literal])),
            _ => None,
        },
        Expr::InList(InList { expr, list, negated: false }) => {
            let literals = list.iter().all(|item| matches!(item, Expr::Literal(..)));
            literals.then(|| (expr.as_ref(), list.iter().collect()))
        }
        _ => None,
    }
}

fn literal_type(expr: &Expr) -> Option<DataType> {
    match expr {
        Expr::Literal(value, _) => Some(value.data_type()),
        _ => None,
    }
}
