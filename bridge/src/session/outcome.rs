//! `Outcome`: what a statement did.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

/// Rows of an answer.
#[derive(Clone, Debug)]
pub struct QueryOutput {
    /// Names, which may repeat, and types.
    pub schema: SchemaRef,
    /// The rows; no batch is empty.
    pub batches: Vec<RecordBatch>,
}

impl QueryOutput {
    /// Number of rows.
    pub fn num_rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// What a statement did.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// It defined or removed something, or controls a transaction.
    Ddl {
        /// The words of the statement, as `CREATE TABLE`.
        ddl_type: &'static str,
        /// Stored name of what it was about.
        object: Option<String>,
    },
    /// It changed this many rows.
    Rows(u64),
    /// It asked for rows.
    Query(QueryOutput),
    /// It asked for what there is.
    Metadata(QueryOutput),
}

impl Outcome {
    /// Returns the outcome of a statement that controls a transaction.
    pub(super) fn of_transaction(ddl_type: &'static str) -> Self {
        Outcome::Ddl { ddl_type, object: None }
    }
}
