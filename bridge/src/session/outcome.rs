//! `Outcome`: the result of a statement.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

/// The rows that a query or another reading statement returns.
#[derive(Clone, Debug)]
pub struct QueryOutput {
    /// Names, which may repeat, and types of the columns.
    pub schema: SchemaRef,
    /// The rows; no batch is empty.
    pub batches: Vec<RecordBatch>,
}

impl QueryOutput {
    /// Returns the number of rows.
    pub fn num_rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// Result of a statement.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The statement defined or removed a relation, took or restored a checkpoint, or controlled a transaction.
    Ddl {
        /// Words that name the statement, such as `CREATE TABLE`.
        ddl_type: &'static str,
        /// Stored name of the relation or checkpoint that the statement was about.
        object: Option<String>,
    },
    /// The statement changed this many rows.
    Rows(u64),
    /// Rows of a query.
    Query(QueryOutput),
    /// Rows of SHOW, DESCRIBE or EXPLAIN.
    Metadata(QueryOutput),
}

impl Outcome {
    /// Returns the outcome of a statement that controls a transaction.
    pub(super) fn of_transaction(ddl_type: &'static str) -> Self {
        Outcome::Ddl { ddl_type, object: None }
    }
}
