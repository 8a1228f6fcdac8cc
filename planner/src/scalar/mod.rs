//! Compiles DataFusion expressions into `dataflow::Scalar`s and hardens them.
//!
//! DataFusion's integers wrap around, its casts truncate, and whether an expression fails can depend on the other rows
//! of the batch. In a hardened expression, the value or error of a row is a function of that row alone.

mod arithmetic;
mod beneath;
mod cast;
mod comparison;
mod logic;
mod pieces;
mod proof;
mod show;
mod text;
mod time;
mod unary;

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::DataType;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DFSchema, Result};
use datafusion::logical_expr::{Expr, Operator};
use datafusion::physical_expr::expressions::{
    BinaryExpr, CaseExpr, CastExpr, Column, InListExpr, NegativeExpr, TryCastExpr,
};
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};
use laminardb_dataflow::{Evaluated, RowError, Scalar};

use self::arithmetic::{Arithmetic, Negate};
use self::cast::Cast;
use self::logic::{Coalesce, Logic};
use self::unary::Unary;
use crate::error::{PlanError, bare_message};
use crate::panics;

pub(crate) use arithmetic::without_zeros;
pub use cast::{OnFailure, cast_array};
pub use comparison::{compared, compared_type, grouped};
pub use pieces::height;

/// Compiles a bound expression over the columns of `schema`, by position. Fails if the expression computes another type
/// than it states.
pub fn compile(expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn Scalar>, PlanError> {
    pieces::spend_size(expr)?;
    let (expr, data_type) = pieces::physical(expr, schema)?;
    let text = text::canonical(&expr);
    let column = expr.downcast_ref::<Column>().map(Column::index);
    if column.is_none() {
        proof::computes(&expr, schema.as_arrow(), &data_type)?;
    }
    Ok(Arc::new(Compiled { expr, data_type, text, column }))
}

/// Returns the same expression with our arithmetic, comparisons and casts; its results and errors depend on each row
/// alone.
pub fn harden(expr: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    let hardened = expr.transform_up(|expr| match hardened_node(&expr) {
        Some(hardened) => Ok(Transformed::yes(hardened?)),
        None => Ok(Transformed::no(expr)),
    });
    hardened.expect("hardening a node cannot fail").data
}

/// Returns the hardened replacement of one node, or `None` if the node stays as it is.
fn hardened_node(expr: &Arc<dyn PhysicalExpr>) -> Option<Result<Arc<dyn PhysicalExpr>>> {
    if let Some(list) = expr.downcast_ref::<InListExpr>() {
        return Some(comparison::in_list(list));
    }
    if let Some(case) = expr.downcast_ref::<CaseExpr>() {
        return comparison::case(case);
    }
    if let Some(reader) = beneath::reader(expr) {
        return Some(reader);
    }
    arithmetic_node(expr).map(Ok)
}

/// Returns the hardened replacement of an operator, a cast or a COALESCE.
fn arithmetic_node(expr: &Arc<dyn PhysicalExpr>) -> Option<Arc<dyn PhysicalExpr>> {
    if let Some(binary) = expr.downcast_ref::<BinaryExpr>() {
        return match binary.op() {
            Operator::Plus | Operator::Minus | Operator::Multiply | Operator::Divide | Operator::Modulo => {
                Some(Arc::new(Arithmetic::new(binary.clone())))
            }
            Operator::And | Operator::Or => Some(Arc::new(Logic::new(binary))),
            Operator::Eq
            | Operator::NotEq
            | Operator::Lt
            | Operator::LtEq
            | Operator::Gt
            | Operator::GtEq
            | Operator::IsDistinctFrom
            | Operator::IsNotDistinctFrom => Some(Arc::new(comparison::binary(binary))),
            _ => None,
        };
    }
    if let Some(negative) = expr.downcast_ref::<NegativeExpr>() {
        return Some(Unary::of(Negate, negative.arg()));
    }
    if let Some(cast) = expr.downcast_ref::<CastExpr>() {
        return Some(casted(cast.expr(), cast.cast_type(), OnFailure::Error));
    }
    if let Some(cast) = expr.downcast_ref::<TryCastExpr>() {
        return Some(casted(cast.expr(), cast.cast_type(), OnFailure::Null));
    }
    let function = expr.downcast_ref::<ScalarFunctionExpr>()?;
    match function.fun().name() {
        "coalesce" | "nvl" => {
            let (args, data_type) = (function.args().to_vec(), function.return_type().clone());
            Some(Arc::new(Coalesce::new(args, data_type, function.nullable())))
        }
        _ => None,
    }
}

fn casted(expr: &Arc<dyn PhysicalExpr>, to: &DataType, on_failure: OnFailure) -> Arc<dyn PhysicalExpr> {
    Unary::of(Cast { data_type: to.clone(), on_failure }, expr)
}

/// A compiled expression with its type, canonical text and, if it is only a column, that column's position.
#[derive(Debug)]
struct Compiled {
    expr: Arc<dyn PhysicalExpr>,
    data_type: DataType,
    text: String,
    column: Option<usize>,
}

impl Scalar for Compiled {
    fn data_type(&self) -> &DataType {
        &self.data_type
    }

    fn evaluate(&self, batch: &RecordBatch) -> Evaluated {
        let (mut parts, mut errors) = (Vec::new(), Vec::new());
        self.evaluate_isolated(batch, 0, &mut parts, &mut errors);
        let values = match parts.as_slice() {
            [] => new_null_array(&self.data_type, 0),
            [whole] => Arc::clone(whole),
            parts => {
                let parts: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
                // Every part was evaluated without an error, so this failure cannot be attributed to a row.
                concat(&parts).unwrap_or_else(|error| panic!("the values of {} on one batch: {error}", self.text))
            }
        };
        Evaluated { values, errors }
    }

    fn text(&self) -> &str {
        &self.text
    }

    fn column(&self) -> Option<usize> {
        self.column
    }
}

impl Compiled {
    /// Evaluates all rows together; returns the message of an error or panic. Kernels panic on some data, for example
    /// when the texts of a batch are too long together for one array.
    fn evaluate_whole(&self, batch: &RecordBatch) -> std::result::Result<ArrayRef, String> {
        let evaluate = || self.expr.evaluate(batch).and_then(|value| value.into_array(batch.num_rows()));
        panics::caught(evaluate).and_then(|evaluated| evaluated.map_err(|error| bare_message(&error)))
    }

    /// Evaluates the whole batch; if that fails, evaluates each half separately, down to the single rows that fail.
    fn evaluate_isolated(
        &self,
        batch: &RecordBatch,
        offset: usize,
        parts: &mut Vec<ArrayRef>,
        errors: &mut Vec<RowError>,
    ) {
        let rows = batch.num_rows();
        if rows == 0 {
            return;
        }
        match self.evaluate_whole(batch) {
            Ok(values) => parts.push(values),
            Err(message) if rows == 1 => {
                parts.push(new_null_array(&self.data_type, 1));
                errors.push(RowError { row: offset, message });
            }
            Err(_) => {
                let half = rows / 2;
                self.evaluate_isolated(&batch.slice(0, half), offset, parts, errors);
                self.evaluate_isolated(&batch.slice(half, rows - half), offset + half, parts, errors);
            }
        }
    }
}

#[cfg(test)]
mod tests;
