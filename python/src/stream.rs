//! `_QueryStreamIter`: the answer of a query, batch by batch.

use std::sync::Arc;

use laminardb_bridge::{NextRows, QueryStream};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use crate::detach::{detached, waited};
use crate::error::checked;
use crate::fork::Owned;
use crate::result::QueryResult;
use crate::subscription::Listening;

/// The answer of a query in batches, made as they are read. Made by `Connection.stream()`.
///
/// Iterating gives a `QueryResult` per batch.
#[pyclass(frozen, module = "laminardb._laminardb", name = "_QueryStreamIter")]
pub(crate) struct QueryStreamIter(Owned<QueryStream>, Listening);

impl QueryStreamIter {
    /// Makes the iterator over `stream`.
    pub(crate) fn new(stream: QueryStream, listening: Listening) -> Self {
        Self(Owned::new(stream), listening)
    }
}

fn handed(stream: &QueryStream, next: NextRows) -> Option<QueryResult> {
    match next {
        NextRows::Batch(batch) => Some(QueryResult::new(Arc::clone(stream.schema()), vec![batch])),
        NextRows::TimedOut | NextRows::Ended => None,
    }
}

#[pymethods]
impl QueryStreamIter {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.1.traverse(&visit)
    }

    /// Whether more may come: True until the last batch was taken, or it was cancelled.
    #[getter]
    fn is_active(&self) -> bool {
        self.0.here().is_some_and(QueryStream::is_active)
    }

    /// The next batch if it is there, else None; it never waits.
    fn try_next(&self, py: Python<'_>) -> PyResult<Option<QueryResult>> {
        let stream = self.0.get(py)?;
        let next = detached(py, || stream.try_next());
        Ok(handed(stream, checked(py, next)?))
    }

    /// Ends the query: at once, from any thread, again if you like.
    fn cancel(&self) {
        if let Some(stream) = self.0.here() {
            stream.cancel();
        }
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<QueryResult>> {
        let stream = self.0.get(py)?;
        let met = waited(py, None, |limit| match stream.next(limit) {
            Ok(NextRows::TimedOut) => None,
            other => Some(other),
        })?;
        // Without a limit, the wait only ends when there is something.
        Ok(handed(stream, checked(py, met.unwrap_or(Ok(NextRows::Ended)))?))
    }

    fn __repr__(&self) -> &'static str {
        if self.is_active() { "QueryStream(active)" } else { "QueryStream(finished)" }
    }
}
