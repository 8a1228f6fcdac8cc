//! Makes record batches of a given schema.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;

/// Makes a batch from `columns`, which must match `schema` and have `rows` rows.
pub(crate) fn with_columns(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> RecordBatch {
    try_with_columns(schema, columns, rows).expect("columns are of the schema")
}

/// Returns the batch with the column names and nullability of `schema`; fails if its columns do not fit them.
pub(crate) fn relabel(batch: &RecordBatch, schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    if batch.schema_ref() == schema {
        return Ok(batch.clone());
    }
    try_with_columns(schema, batch.columns().to_vec(), batch.num_rows())
}

fn try_with_columns(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch, ArrowError> {
    // A batch without columns has rows as well.
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)
}
