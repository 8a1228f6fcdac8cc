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

impl Step {
    /// Columns after the step, of `width` before it.
    pub(crate) fn width(&self, width: usize) -> usize {
        match self {
            Step::Filter(_) => width,
            Step::Project { columns, .. } => columns.len(),
        }
    }

    /// Whether rows of `width` columns that differ before the step surely differ after it: no column is lost.
    pub(crate) fn keeps_distinct(&self, width: usize) -> bool {
        match self {
            Step::Filter(_) => true,
            Step::Project { columns, .. } => {
                (0..width).all(|position| columns.iter().any(|column| column.column() == Some(position)))
            }
        }
    }
}
