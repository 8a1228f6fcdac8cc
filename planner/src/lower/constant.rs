//! Lowers rows that never change: VALUES, queries without FROM, and expressions computed from them.

use std::sync::Arc;

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Schema};
use datafusion::common::DFSchema;
use datafusion::logical_expr::{EmptyRelation, Values};
use laminardb_dataflow::Scalar;
use laminardb_dataflow::plan::{NodeId, Operator};

use crate::lower::Lowering;
use crate::lower::refuse;
use crate::lower::relation::{Relation, named_schema};
use crate::{PlanError, scalar};

impl Lowering {
    pub(super) fn lower_empty(&mut self, empty: &EmptyRelation) -> Result<Relation, PlanError> {
        let width = empty.schema.fields().len();
        let columns = empty.schema.fields().iter().map(|field| (field.name().clone(), field.data_type().clone()));
        // A row without columns could not be distinguished from no row, so a column that nobody reads is added.
        let marker = (width == 0).then(|| ("row".to_owned(), DataType::Boolean));
        let schema = named_schema(columns.chain(marker));
        let rows = if empty.produce_one_row {
            let columns = schema.fields().iter().map(|field| arrow::array::new_null_array(field.data_type(), 1));
            let options = RecordBatchOptions::new().with_row_count(Some(1));
            let columns = columns.collect();
            RecordBatch::try_new_with_options(Arc::clone(&schema), columns, &options)
                .expect("one row of NULLs in nullable columns")
        } else {
            RecordBatch::new_empty(schema)
        };
        Ok(Relation::whole(self.constant(rows), width))
    }

    pub(super) fn constant(&mut self, rows: RecordBatch) -> NodeId {
        let schema = rows.schema();
        self.builder.add(Operator::Constant(rows), schema)
    }

    pub(super) fn lower_values(&mut self, values: &Values) -> Result<Relation, PlanError> {
        let types: Vec<DataType> = values.schema.fields().iter().map(|field| field.data_type().clone()).collect();
        let names = values.schema.fields().iter().map(|field| field.name().clone());
        let schema = named_schema(names.zip(types.iter().cloned()));
        let one_row = RecordBatch::try_new_with_options(
            Arc::new(Schema::empty()),
            Vec::new(),
            &RecordBatchOptions::new().with_row_count(Some(1)),
        )
        .expect("a row without columns");
        let mut columns = vec![Vec::with_capacity(values.values.len()); types.len()];
        for row in &values.values {
            for ((expr, data_type), column) in row.iter().zip(&types).zip(&mut columns) {
                refuse::expression(expr)?;
                let expr = datafusion::logical_expr::cast(expr.clone(), data_type.clone());
                let value = scalar::compile(&expr, &DFSchema::empty())?.evaluate(&one_row);
                if let Some(error) = value.errors.first() {
                    return Err(PlanError::invalid(error.message.clone()));
                }
                column.push(value.values);
            }
        }
        let columns = columns.iter().zip(&types).map(|(column, data_type)| {
            let column: Vec<_> = column.iter().map(|value| value.as_ref()).collect();
            if column.is_empty() { Ok(arrow::array::new_empty_array(data_type)) } else { concat(&column) }
        });
        let invalid = |error: arrow::error::ArrowError| PlanError::invalid(error.to_string());
        let columns = columns.collect::<Result<Vec<_>, _>>().map_err(invalid)?;
        let rows = RecordBatch::try_new(schema, columns).map_err(invalid)?;
        Ok(Relation::whole(self.constant(rows), types.len()))
    }

    /// Computes a projection of constant rows at planning time. Returns `None` if `input` is not constant or if a row
    /// fails; the dataflow then computes the projection and reports the failure.
    pub(super) fn compute_constant(&mut self, input: NodeId, scalars: &[(Arc<dyn Scalar>, String)]) -> Option<NodeId> {
        let Operator::Constant(rows) = self.builder.operator(input) else { return None };
        let schema = named_schema(scalars.iter().map(|(scalar, name)| (name.clone(), scalar.data_type().clone())));
        let values: Vec<_> = scalars.iter().map(|(scalar, _)| scalar.evaluate(rows)).collect();
        if values.iter().any(|value| !value.errors.is_empty()) {
            return None;
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
        let columns = values.into_iter().map(|value| value.values).collect();
        let rows = RecordBatch::try_new_with_options(schema, columns, &options).ok()?;
        Some(self.constant(rows))
    }
}
