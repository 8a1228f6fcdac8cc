//! `Subscription` and `StreamSubscription`: readers that wait for their batches.

use pyo3::prelude::*;

use super::{ChangeBatch, Feed};

/// The changes of a query.
#[pyclass(frozen, module = "laminardb._laminardb", name = "Subscription")]
pub(crate) struct Subscription(pub(crate) Feed);

#[pymethods]
impl Subscription {
    /// Can there be more?
    #[getter]
    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    /// The columns as a `pyarrow.Schema`.
    #[getter]
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.schema(py)
    }

    /// Waits for the next batch; None at the end.
    fn next(&self, py: Python<'_>) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.next(py, None)
    }

    /// Waits for the next batch for at most so many milliseconds.
    fn next_timeout(&self, py: Python<'_>, timeout_ms: u64) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.next_timeout(py, timeout_ms)
    }

    /// The next batch if it is there, else None.
    fn try_next(&self, py: Python<'_>) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.try_next(py)
    }

    /// Ends the subscription.
    fn cancel(&self) {
        self.0.cancel();
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.next(py, None)
    }

    fn __repr__(&self) -> String {
        format!("Subscription({})", self.0.state("finished"))
    }
}

/// The changes of a relation.
#[pyclass(frozen, module = "laminardb._laminardb", name = "StreamSubscription")]
pub(crate) struct StreamSubscription(pub(crate) Feed);

#[pymethods]
impl StreamSubscription {
    /// Can there be more?
    #[getter]
    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    /// The columns as a `pyarrow.Schema`.
    #[getter]
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.schema_unless_cancelled(py)
    }

    /// Waits for the next batch; None at the end.
    fn next(&self, py: Python<'_>) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.next(py, None)
    }

    /// Waits for the next batch for at most so many milliseconds.
    fn next_timeout(&self, py: Python<'_>, timeout_ms: u64) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.next_timeout(py, timeout_ms)
    }

    /// The next batch if it is there, else None.
    fn try_next(&self, py: Python<'_>) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.try_next(py)
    }

    /// Ends the subscription.
    fn cancel(&self) {
        self.0.cancel();
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.next(py, None)
    }

    fn __repr__(&self) -> String {
        format!("StreamSubscription({})", self.0.state("cancelled"))
    }
}
