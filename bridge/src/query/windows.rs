//! Makes window functions read only columns: whatever else is an argument of theirs is computed by a projection below
//! them, whose expressions can be hardened.
//!
//! What they partition and order by is compared as SQL does (see `equality`).

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, Window};

use super::equality::make_compared;

/// Adds a projection below window functions that computes whatever is not a column of their input, and one above that
/// drops the added columns.
pub(super) fn over_columns(node: LogicalPlan) -> Result<Transformed<LogicalPlan>> {
    let LogicalPlan::Window(window) = node else { return Ok(Transformed::no(node)) };
    let Window { input, mut window_expr, schema } = window;
    let mut computed = Vec::new();
    for expr in &mut window_expr {
        let (name, is_named) = (expr.schema_name().to_string(), matches!(expr, Expr::Alias(_)));
        let function = match &mut *expr {
            Expr::Alias(alias) => alias.expr.as_mut(),
            other => other,
        };
        let Expr::WindowFunction(function) = function else { continue };
        let before = computed.len();
        compute_below(function, input.schema(), &mut computed)?;
        // The name of the result is the text of the function, which has changed.
        if computed.len() > before && !is_named {
            *expr = std::mem::take(expr).alias(name);
        }
    }
    if computed.is_empty() {
        return Ok(Transformed::no(LogicalPlan::Window(Window { input, window_expr, schema })));
    }
    let kept = input.schema().columns().into_iter().map(Expr::Column);
    let below = LogicalPlanBuilder::from(Arc::clone(&input)).project(kept.chain(computed).collect::<Vec<_>>())?;
    let above = schema.columns().into_iter().map(Expr::Column).collect::<Vec<_>>();
    let plan = below.window(window_expr)?.project(above)?.build()?;
    Ok(Transformed::yes(plan))
}

/// Replaces the function's argument expressions by columns; `computed` receives the expressions, named like the
/// columns.
fn compute_below(function: &mut WindowFunction, schema: &DFSchema, computed: &mut Vec<Expr>) -> Result<()> {
    let WindowFunctionParams { args, partition_by, order_by, filter, .. } = &mut function.params;
    // A key that is wrapped is no longer a column, so it is then computed below as well.
    let mut keys: Vec<&mut Expr> =
        partition_by.iter_mut().chain(order_by.iter_mut().map(|key| &mut key.expr)).collect();
    for key in &mut keys {
        make_compared(key, schema)?;
    }
    for given in keys.into_iter().chain(args).chain(filter.as_deref_mut()) {
        if !matches!(given, Expr::Column(_) | Expr::Literal(..)) {
            let column = format!("__given{}", computed.len());
            let expr = std::mem::replace(given, Expr::Column(Column::new_unqualified(&column)));
            computed.push(expr.alias(column));
        }
    }
    Ok(())
}
