//! Vectorised expressions on a `RecordBatch`: each row has an exact value or an error, and errors are data.

use std::fmt::Debug;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::DataType;

/// One row on which an expression failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    /// Position of the row in the batch.
    pub row: usize,
    /// The reason, in one line; it must depend on the row alone.
    pub message: String,
}

/// The values of an expression on a batch, and the rows on which it failed.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// One value per row, of the expression's type; NULL for the rows in `errors`.
    pub values: ArrayRef,
    /// The failed rows by ascending position, each at most once.
    pub errors: Vec<RowError>,
}

/// A deterministic expression over the columns of a batch.
///
/// The result for a row must depend on that row alone, never on which rows share its batch: a retraction must evaluate
/// to the same value as its insertion. Not checked here, because that would need every split of every batch.
pub trait Scalar: Debug + Send + Sync {
    /// Returns the type of the values.
    fn data_type(&self) -> &DataType;

    /// Evaluates the expression on all rows of `batch`. Must not panic on data: a failing row goes to
    /// [`Evaluated::errors`].
    fn evaluate(&self, batch: &RecordBatch) -> Evaluated;

    /// Returns the canonical text, equal exactly when two expressions are the same. EXPLAIN shows it, and sharing
    /// compares it.
    fn text(&self) -> &str;

    /// Returns the input column if the expression is nothing but a column reference.
    fn column(&self) -> Option<usize> {
        None
    }
}
