//! `Subscription` and `StreamSubscription`: readers that wait for their batches.

use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;

use super::{ChangeBatch, Feed};

/// The changes of a query, in the order of their times, each once.
///
/// Iterating waits for batches and ends when the subscription does. Dropping the object cancels it.
///
/// >>> conn.create_table("t", {"k": "int64"})
/// >>> sub = conn.subscribe("SELECT k + 1 AS next FROM t")
/// >>> conn.insert("t", {"k": 1})
/// 1
/// >>> for batch in sub:
/// ...     print(batch.ops, batch.fetchall())
/// ...     sub.cancel()
/// ['Insert'] [(2,)]
#[pyclass(frozen, module = "laminardb._laminardb", name = "Subscription")]
pub(crate) struct Subscription(pub(crate) Feed);

#[pymethods]
impl Subscription {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.traverse(&visit)
    }

    /// Whether more may come: True until it is cancelled, or the reader has met the end.
    #[getter]
    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    /// The columns as a `pyarrow.Schema`, known from the start. `ImportError` without pyarrow.
    #[getter]
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.schema(py)
    }

    /// Waits for the next batch; None at the end.
    ///
    /// `SubscriptionError` 501 once when the relation was dropped, 503 once when the reader was too far behind;
    /// `StreamError` 600 once when the view failed.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> sub = conn.subscribe("SELECT a FROM t")
    /// >>> conn.insert("t", {"a": 1})
    /// 1
    /// >>> sub.next().fetchall()
    /// [(1,)]
    fn next(&self, py: Python<'_>) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.next(py, None)
    }

    /// Waits for the next batch for at most `timeout_ms` milliseconds; None at the end.
    ///
    /// `SubscriptionError` 502 when they pass without one; the subscription goes on. The other errors are those of
    /// `next()`. `OverflowError` when the number is negative.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> sub = conn.subscribe("SELECT a FROM t")
    /// >>> conn.insert("t", {"a": 1})
    /// 1
    /// >>> sub.next_timeout(60_000).fetchall()
    /// [(1,)]
    /// >>> sub.next_timeout(1)
    /// Traceback (most recent call last):
    /// laminardb.SubscriptionError: ...
    fn next_timeout(&self, py: Python<'_>, timeout_ms: u64) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.next_timeout(py, timeout_ms)
    }

    /// The next batch if it is there, else None; it never waits.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> sub = conn.subscribe("SELECT a FROM t")
    /// >>> conn.insert("t", {"a": 1})
    /// 1
    /// >>> time = conn.wait()
    /// >>> sub.try_next().fetchall()
    /// [(1,)]
    /// >>> sub.try_next() is None
    /// True
    fn try_next(&self, py: Python<'_>) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.try_next(py)
    }

    /// Ends the subscription: at once, from any thread, again if you like. A call that waits gives None.
    ///
    /// >>> sub = conn.subscribe("SELECT 1 AS one")
    /// >>> sub.cancel()
    /// >>> sub.is_active
    /// False
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

/// The changes of a relation, in the order of their times, each once.
///
/// Iterating waits for batches and ends when the subscription does. Dropping the object cancels it.
#[pyclass(frozen, module = "laminardb._laminardb", name = "StreamSubscription")]
pub(crate) struct StreamSubscription(pub(crate) Feed);

#[pymethods]
impl StreamSubscription {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.traverse(&visit)
    }

    /// Whether more may come: True until it is cancelled, or the reader has met the end.
    #[getter]
    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    /// The columns as a `pyarrow.Schema`, known from the start. `RuntimeError` after `cancel()`.
    #[getter]
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.schema_unless_cancelled(py)
    }

    /// Waits for the next batch; None at the end.
    ///
    /// `SubscriptionError` 501 once when the relation was dropped, 503 once when the reader was too far behind;
    /// `StreamError` 600 once when the view failed.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> sub = conn.subscribe_stream("t")
    /// >>> conn.insert("t", {"a": 1})
    /// 1
    /// >>> sub.next().fetchall()
    /// [(1,)]
    fn next(&self, py: Python<'_>) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.next(py, None)
    }

    /// Waits for the next batch for at most `timeout_ms` milliseconds; None at the end.
    ///
    /// `SubscriptionError` 502 when they pass without one; the subscription goes on. The other errors are those of
    /// `next()`. `OverflowError` when the number is negative.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> sub = conn.subscribe_stream("t")
    /// >>> conn.insert("t", {"a": 1})
    /// 1
    /// >>> sub.next_timeout(60_000).fetchall()
    /// [(1,)]
    /// >>> sub.next_timeout(1)
    /// Traceback (most recent call last):
    /// laminardb.SubscriptionError: ...
    fn next_timeout(&self, py: Python<'_>, timeout_ms: u64) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.next_timeout(py, timeout_ms)
    }

    /// The next batch if it is there, else None; it never waits.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> sub = conn.subscribe_stream("t")
    /// >>> conn.insert("t", {"a": 1})
    /// 1
    /// >>> time = conn.wait()
    /// >>> sub.try_next().fetchall()
    /// [(1,)]
    /// >>> sub.try_next() is None
    /// True
    fn try_next(&self, py: Python<'_>) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.try_next(py)
    }

    /// Ends the subscription: at once, from any thread, again if you like. A call that waits gives None.
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
