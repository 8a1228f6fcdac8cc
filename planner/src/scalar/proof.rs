//! Checks that an expression computes the type it states, before it evaluates any real row.
//!
//! Some functions of DataFusion do not. A batch that contradicts its schema would break the operators that receive it,
//! so such an expression is refused when it is compiled.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions, new_null_array};
use arrow::datatypes::{DataType, Field, Schema};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::Column;

use crate::error::PlanError;
use crate::panics;
use crate::statement::type_name;

/// Evaluates `expr` over the columns of `schema` on no rows and on a row of NULLs; fails if the type is not `stated`.
///
/// An error or a panic on these rows is ignored: it belongs to the row and says nothing about the type.
pub(super) fn computes(expr: &Arc<dyn PhysicalExpr>, schema: &Schema, stated: &DataType) -> Result<(), PlanError> {
    let Ok((expr, columns)) = compact(expr, schema) else { return Ok(()) };
    let schema = Arc::new(Schema::new(columns));
    for rows in 0..2 {
        let values = schema.fields().iter().map(|field| new_null_array(field.data_type(), rows)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        let batch = RecordBatch::try_new_with_options(Arc::clone(&schema), values, &options)
            .expect("NULLs in nullable columns of their types");
        let evaluated = panics::caught(|| expr.evaluate(&batch).and_then(|value| value.into_array(rows)));
        if let Ok(Ok(values)) = evaluated
            && values.data_type() != stated
        {
            let (stated, computed) = (type_name(stated), type_name(values.data_type()));
            return Err(PlanError::invalid(format!("{expr} is planned as {stated} and computes {computed}")));
        }
    }
    Ok(())
}

/// Rewrites the expression to use only the columns that it reads; returns these columns, all nullable.
fn compact(
    expr: &Arc<dyn PhysicalExpr>,
    schema: &Schema,
) -> datafusion::common::Result<(Arc<dyn PhysicalExpr>, Vec<Field>)> {
    let mut places: BTreeMap<usize, usize> = BTreeMap::new();
    let mut fields = Vec::new();
    let replaced = Arc::clone(expr).transform_up(|expr| {
        let Some(column) = expr.downcast_ref::<Column>() else { return Ok(Transformed::no(expr)) };
        let place = *places.entry(column.index()).or_insert_with(|| {
            let field = schema.field(column.index());
            fields.push(Field::new(field.name(), field.data_type().clone(), true));
            fields.len() - 1
        });
        Ok(Transformed::yes(Arc::new(Column::new(column.name(), place)) as Arc<dyn PhysicalExpr>))
    })?;
    Ok((replaced.data, fields))
}
