//! Rows as they are given -> rows of a relation: columns are matched by name and cast without loss, or refused.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::SchemaRef;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use crate::error::Error;
use crate::store::Spec;

/// Fits rows to a relation. `first_row` is the position of the batch's first row in the data the caller gave.
pub fn conform(batch: &RecordBatch, spec: &Spec, first_row: usize) -> Result<RecordBatch, Error> {
    refit(batch, &spec.schema, first_row)
}

/// Fits rows to the key columns of a relation, whose schema is `key`; other columns may be there or not.
pub fn conform_key(batch: &RecordBatch, _spec: &Spec, key: &SchemaRef, first_row: usize) -> Result<RecordBatch, Error> {
    refit(batch, key, first_row)
}

fn refit(batch: &RecordBatch, schema: &SchemaRef, first_row: usize) -> Result<RecordBatch, Error> {
    if Arc::ptr_eq(batch.schema_ref(), schema) {
        return Ok(batch.clone());
    }
    RecordBatch::try_new(Arc::clone(schema), batch.columns().to_vec())
        .map_err(|error| Error::BatchSchemaMismatch(format!("row {first_row}: {error}")))
}

/// A value as messages show it.
pub(crate) fn display(array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        return "NULL".to_owned();
    }
    match ArrayFormatter::try_new(array, &FormatOptions::default()) {
        Ok(formatter) => formatter.value(row).to_string(),
        Err(_) => format!("a value of type {}", array.data_type()),
    }
}
