//! Hardened DataFusion expressions as `dataflow::Scalar`s.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, new_null_array};
use arrow::compute::concat;
use arrow::datatypes::DataType;
use datafusion::common::DFSchema;
use datafusion::logical_expr::Expr;
use datafusion::logical_expr::execution_props::ExecutionProps;
use datafusion::logical_expr::physical_planning_context::PhysicalPlanningContext;
use datafusion::physical_expr::expressions::Column;
use datafusion::physical_expr::{PhysicalExpr, create_physical_expr};
use laminardb_dataflow::{Evaluated, RowError, Scalar};

use crate::error::{PlanError, bare_message};

/// Compiles a bound expression over the columns of `schema`, by position.
pub fn compile(expr: &Expr, schema: &DFSchema) -> Result<Arc<dyn Scalar>, PlanError> {
    let context = PhysicalPlanningContext::default();
    let physical = create_physical_expr(expr, schema, &ExecutionProps::new(), &context)?;
    let data_type = physical.data_type(schema.as_arrow())?;
    let column = physical.downcast_ref::<Column>().map(Column::index);
    let text = match column {
        Some(column) => schema.field(column).name().clone(),
        None => physical.to_string(),
    };
    Ok(Arc::new(Compiled { physical: harden(physical), data_type, column, text }))
}

/// The same expression with results and errors that are a function of the row alone.
pub fn harden(expr: Arc<dyn PhysicalExpr>) -> Arc<dyn PhysicalExpr> {
    expr
}

#[derive(Debug)]
struct Compiled {
    physical: Arc<dyn PhysicalExpr>,
    data_type: DataType,
    column: Option<usize>,
    text: String,
}

impl Compiled {
    /// The values of `batch`, whose first row is row `first`; halves it to find the rows that fail.
    fn isolate(&self, batch: &RecordBatch, first: usize, errors: &mut Vec<RowError>) -> Vec<ArrayRef> {
        let rows = batch.num_rows();
        match self.physical.evaluate(batch).and_then(|value| value.into_array(rows)) {
            Ok(values) => vec![values],
            Err(error) if rows <= 1 => {
                errors.push(RowError { row: first, message: bare_message(&error) });
                vec![new_null_array(&self.data_type, rows)]
            }
            Err(_) => {
                let half = rows / 2;
                let mut values = self.isolate(&batch.slice(0, half), first, errors);
                values.extend(self.isolate(&batch.slice(half, rows - half), first + half, errors));
                values
            }
        }
    }
}

impl Scalar for Compiled {
    fn data_type(&self) -> &DataType {
        &self.data_type
    }

    fn evaluate(&self, batch: &RecordBatch) -> Evaluated {
        let mut errors = Vec::new();
        if batch.num_rows() == 0 {
            return Evaluated { values: new_null_array(&self.data_type, 0), errors };
        }
        let mut parts = self.isolate(batch, 0, &mut errors);
        let values = match parts.len() {
            1 => parts.swap_remove(0),
            _ => {
                let parts: Vec<_> = parts.iter().map(AsRef::as_ref).collect();
                concat(&parts).expect("the parts have the expression's type")
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
