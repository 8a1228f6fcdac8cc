//! A vectorised expression on a `RecordBatch`: exact per row, with errors as data.

use std::fmt::Debug;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::DataType;

/// One row on which an expression failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowError {
    /// Position of the row in the batch.
    pub row: usize,
    /// Why, in one line; a function of the row alone.
    pub message: String,
}

/// Values of an expression on a batch, and the rows it failed on.
#[derive(Clone, Debug)]
pub struct Evaluated {
    /// One value a row, of the expression's type; NULL where the row is in `errors`.
    pub values: ArrayRef,
    /// Failed rows, by ascending position, each at most once.
    pub errors: Vec<RowError>,
}

/// A deterministic expression over the columns of a batch.
///
/// The result for a row must depend on that row alone, never on which rows share its batch: a retraction has to
/// evaluate to what its insertion did. Not checked here, because it would need every split of every batch.
pub trait Scalar: Debug + Send + Sync {
    /// Type of the values.
    fn data_type(&self) -> &DataType;

    /// Evaluates all rows of `batch`; never panics on data.
    fn evaluate(&self, batch: &RecordBatch) -> Evaluated;

    /// Canonical text, equal exactly when two expressions are the same; shown by EXPLAIN, compared for sharing.
    fn text(&self) -> &str;

    /// The input column, when the expression is nothing but a column reference.
    fn column(&self) -> Option<usize> {
        None
    }
}
