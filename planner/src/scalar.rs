//! Hardened DataFusion expressions as `dataflow::Scalar`s.

use std::sync::Arc;

use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;
use datafusion::physical_expr::PhysicalExpr;
use laminardb_dataflow::Scalar;

use crate::error::PlanError;

/// Compiles a bound expression over the columns of `schema`, by position.
pub fn compile(_expr: &Expr, _schema: &DFSchema) -> Result<Arc<dyn Scalar>, PlanError> {
    Err(PlanError::invalid("expressions are not supported"))
}

/// The same expression with results and errors that are a function of the row alone.
pub fn harden(expr: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    expr
}
