//! Filters and projections.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;

use crate::Scalar;

/// One stateless step over a batch.
#[derive(Clone, Debug)]
pub enum Step {
    /// Keeps the rows where a boolean expression is true.
    Filter(Arc<dyn Scalar>),
    /// Replaces the columns by computed ones.
    Project {
        /// One expression per new column.
        columns: Vec<Arc<dyn Scalar>>,
        /// Names and types of the new columns.
        schema: SchemaRef,
    },
}

impl Step {
    /// Returns the number of columns after the step, given their number before it.
    pub(crate) fn width(&self, width: usize) -> usize {
        match self {
            Step::Filter(_) => width,
            Step::Project { columns, .. } => columns.len(),
        }
    }

    /// Whether rows of `width` columns that differ before the step are certain to differ after it, because it keeps all
    /// columns.
    pub(crate) fn keeps_distinct(&self, width: usize) -> bool {
        match self {
            Step::Filter(_) => true,
            Step::Project { columns, .. } => {
                (0..width).all(|position| columns.iter().any(|column| column.column() == Some(position)))
            }
        }
    }
}
