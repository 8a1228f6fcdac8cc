//! Makes window functions read only columns: whatever else is an argument of theirs is computed by a projection below
//! them, whose expressions can be hardened.
//!
//! What they partition and order by is compared as SQL does (see `equality`).

use std::sync::Arc;

use datafusion::common::tree_node::Transformed;
use datafusion::common::{Column, DFSchema, Result};
use datafusion::logical_expr::expr::{WindowFunction, WindowFunctionParams};
use datafusion::logical_expr::{Expr, LogicalPlan, Projection, Window};

use super::equality::make_compared;
use super::one_order::one_order;

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
        // The name of the result is the text of the function, which may have changed.
        if compute_below(function, input.schema(), &mut computed)? && !is_named {
            *expr = std::mem::take(expr).alias(name);
        }
    }
    if computed.is_empty() && window_expr.len() <= TOGETHER {
        return Ok(Transformed::no(LogicalPlan::Window(Window { input, window_expr, schema })));
    }
    let kept = input.schema().columns().into_iter().map(Expr::Column);
    // Not by DataFusion's builder, which looks through the whole plan for each column.
    let below = Projection::try_new(kept.chain(computed).collect(), Arc::clone(&input))?;
    let above = schema.columns().into_iter().map(Expr::Column).collect::<Vec<_>>();
    let mut plan = LogicalPlan::Projection(below);
    for (at, functions) in window_expr.chunks(TOGETHER).enumerate() {
        let input = if at == 0 { plan } else { one_order(plan) };
        plan = LogicalPlan::Window(Window::try_new(functions.to_vec(), Arc::new(input))?);
    }
    Ok(Transformed::yes(LogicalPlan::Projection(Projection::try_new(above, Arc::new(plan))?)))
}

/// The number of functions after which the orders that follow from them are forgotten.
const TOGETHER: usize = 8;

/// Replaces the function's argument expressions by columns; returns whether there was one. `computed` receives the
/// expressions, named like the columns, each once: functions whose keys are the same must have the same columns.
fn compute_below(function: &mut WindowFunction, schema: &DFSchema, computed: &mut Vec<Expr>) -> Result<bool> {
    let WindowFunctionParams { args, partition_by, order_by, filter, .. } = &mut function.params;
    // A key that is wrapped is no longer a column, so it is then computed below as well.
    let mut keys: Vec<&mut Expr> =
        partition_by.iter_mut().chain(order_by.iter_mut().map(|key| &mut key.expr)).collect();
    for key in &mut keys {
        make_compared(key, schema)?;
    }
    let mut is_changed = false;
    for given in keys.into_iter().chain(args).chain(filter.as_deref_mut()) {
        if !matches!(given, Expr::Column(_) | Expr::Literal(..)) {
            let same = |known: &Expr| matches!(known, Expr::Alias(known) if *known.expr == *given);
            let known = computed.iter().position(same).filter(|_| !given.is_volatile());
            let place = known.unwrap_or(computed.len());
            let column = format!("__given{place}");
            let expr = std::mem::replace(given, Expr::Column(Column::new_unqualified(&column)));
            if place == computed.len() {
                computed.push(expr.alias(column));
            }
            is_changed = true;
        }
    }
    Ok(is_changed)
}
