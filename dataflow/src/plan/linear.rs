//! Filters and projections.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::Scalar;

/// One stateless step over a batch.
#[derive(Clone, Debug)]
pub enum Step {
    /// Keeps the rows where a boolean expression is true.
    Filter(Arc<dyn Scalar>),
    /// Computes new columns; the old ones are gone.
    Project {
        /// One expression a column.
        columns: Vec<Arc<dyn Scalar>>,
        /// Names and types of the new columns.
        schema: SchemaRef,
    },
}
