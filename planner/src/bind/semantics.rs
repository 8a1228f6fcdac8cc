//! Our semantics in place of DataFusion's, on a plan whose types are coerced.

use arrow::datatypes::DataType;
use datafusion::logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, cast};

use crate::error::PlanError;

/// Replaces what DataFusion computes otherwise than we do.
pub(super) fn apply(plan: LogicalPlan) -> Result<LogicalPlan, PlanError> {
    Ok(plan)
}

/// Casts output columns of types that are only DataFusion's to those of ours.
pub(super) fn plain_output(plan: LogicalPlan) -> Result<LogicalPlan, PlanError> {
    let plain: Vec<_> = plan.schema().fields().iter().map(|field| plain_type(field.data_type())).collect();
    if plain.iter().all(Option::is_none) {
        return Ok(plan);
    }
    let columns = plan.schema().columns().into_iter().zip(plain).map(|(column, plain)| match plain {
        Some(data_type) => cast(Expr::Column(column.clone()), data_type).alias(column.name),
        None => Expr::Column(column),
    });
    let columns: Vec<_> = columns.collect();
    Ok(LogicalPlanBuilder::from(plan).project(columns)?.build()?)
}

fn plain_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Utf8View | DataType::LargeUtf8 => Some(DataType::Utf8),
        DataType::BinaryView | DataType::LargeBinary => Some(DataType::Binary),
        DataType::Dictionary(_, value) => Some(plain_type(value).unwrap_or_else(|| value.as_ref().clone())),
        _ => None,
    }
}
