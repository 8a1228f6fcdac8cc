//! `AsyncSubscription` and `AsyncStreamSubscription`: readers that do not block an event loop.
//!
//! A batch is only taken by the task that returns it, so a cancelled wait loses none.

use std::sync::Arc;

use laminardb_bridge::Time;
use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;

use super::notify::Waiters;
use super::{ChangeBatch, Feed, aio};
use crate::session::Connection;

/// A feed whose batches event loops can wait for.
pub(crate) struct Waited {
    pub(super) feed: Feed,
    waiters: Arc<Waiters>,
}

impl Waited {
    fn new(feed: Feed) -> Self {
        Self { feed, waiters: Arc::default() }
    }

    /// Shows the garbage collector what the feed holds. The futures that wait for a batch are not shown: the engine will
    /// resolve them, so a task that waits is in use, even if nobody else holds it.
    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.feed.traverse(visit)
    }

    fn wake(&self, py: Python<'_>, event_loop: Py<PyAny>, future: Py<PyAny>) -> PyResult<()> {
        let subscription = self.feed.subscription.get(py)?;
        if self.waiters.add(event_loop, future) {
            let waiters = Arc::clone(&self.waiters);
            subscription.on_ready(move || waiters.wake());
        }
        Ok(())
    }

    fn unwake(&self, future: &Bound<'_, PyAny>) {
        // A forked child must leave alone the lock that it inherited.
        if self.feed.subscription.here().is_some() {
            self.waiters.remove(future);
        }
    }

    /// Resolves `future` in `event_loop` when there is something new about `time`, unless the returned number is
    /// forgotten before.
    pub(super) fn wake_at(
        &self,
        py: Python<'_>,
        event_loop: Py<PyAny>,
        future: Py<PyAny>,
        time: Time,
    ) -> PyResult<u64> {
        let subscription = self.feed.subscription.get(py)?;
        let waiters = Arc::<Waiters>::default();
        waiters.add(event_loop, future);
        Ok(subscription.on_reached(time, move || waiters.wake()))
    }
}

/// Returns an awaitable of the next batch of `subscription`.
fn next_of<'py>(subscription: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = subscription.py();
    aio(py)?.call_method1(intern!(py, "next_batch"), (subscription,))
}

/// The changes of a query, for `async for`, which never blocks the event loop.
///
/// >>> import asyncio
/// >>> async def first(query):
/// ...     async for batch in await conn.subscribe_async(query):
/// ...         return batch.fetchall()
/// >>> asyncio.run(first("SELECT 1 AS one"))
/// [(1,)]
#[pyclass(frozen, module = "laminardb._laminardb", name = "AsyncSubscription")]
pub(crate) struct AsyncSubscription(pub(super) Waited);

#[pymethods]
impl AsyncSubscription {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.traverse(&visit)
    }

    /// Whether more may come: True until it is cancelled, or the reader has met the end.
    #[getter]
    fn is_active(&self) -> bool {
        self.0.feed.is_active()
    }

    /// The columns as a `pyarrow.Schema`, known from the start. `ImportError` without pyarrow.
    #[getter]
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.feed.schema(py)
    }

    /// The next batch if it is there, else None; it never waits.
    fn try_next(&self, py: Python<'_>) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.feed.try_next(py)
    }

    /// Ends the subscription: at once, from any thread, again if you like. A call that waits gives None.
    fn cancel(&self) {
        self.0.feed.cancel();
    }

    /// Resolves `future` in `event_loop` when there is something to take.
    fn _wake(&self, py: Python<'_>, event_loop: Py<PyAny>, future: Py<PyAny>) -> PyResult<()> {
        self.0.wake(py, event_loop, future)
    }

    /// Ends what `_wake()` began, for a future that is not awaited any more.
    fn _unwake(&self, future: &Bound<'_, PyAny>) {
        self.0.unwake(future);
    }

    fn __aiter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __anext__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        next_of(slf.as_any())
    }

    fn __repr__(&self) -> String {
        format!("AsyncSubscription({})", self.0.feed.state("finished"))
    }
}

/// The changes of a relation, for `async for`, which never blocks the event loop.
///
/// `next()`, `next_timeout()` and `try_next()` are as those of `StreamSubscription`: they are not awaited.
#[pyclass(frozen, module = "laminardb._laminardb", name = "AsyncStreamSubscription")]
pub(crate) struct AsyncStreamSubscription(pub(super) Waited);

#[pymethods]
impl AsyncStreamSubscription {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.0.traverse(&visit)
    }

    /// Whether more may come: True until it is cancelled, or the reader has met the end.
    #[getter]
    fn is_active(&self) -> bool {
        self.0.feed.is_active()
    }

    /// The columns as a `pyarrow.Schema`, known from the start. `RuntimeError` after `cancel()`.
    #[getter]
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.0.feed.schema_unless_cancelled(py)
    }

    /// Waits for the next batch; None at the end.
    ///
    /// `SubscriptionError` 501 once when the relation was dropped, 503 once when the reader was too far behind;
    /// `StreamError` 600 once when the view failed.
    fn next(&self, py: Python<'_>) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.feed.next(py, None)
    }

    /// Waits for the next batch for at most `timeout_ms` milliseconds; None at the end.
    ///
    /// `SubscriptionError` 502 when they pass without one; the subscription goes on. The other errors are those of
    /// `next()`. `OverflowError` when the number is negative.
    fn next_timeout(&self, py: Python<'_>, timeout_ms: u64) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.feed.next_timeout(py, timeout_ms)
    }

    /// The next batch if it is there, else None; it never waits.
    fn try_next(&self, py: Python<'_>) -> PyResult<Option<Py<ChangeBatch>>> {
        self.0.feed.try_next(py)
    }

    /// Ends the subscription: at once, from any thread, again if you like. A call that waits gives None.
    fn cancel(&self) {
        self.0.feed.cancel();
    }

    /// Resolves `future` in `event_loop` when there is something to take.
    fn _wake(&self, py: Python<'_>, event_loop: Py<PyAny>, future: Py<PyAny>) -> PyResult<()> {
        self.0.wake(py, event_loop, future)
    }

    /// Ends what `_wake()` began, for a future that is not awaited any more.
    fn _unwake(&self, future: &Bound<'_, PyAny>) {
        self.0.unwake(future);
    }

    fn __aiter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __anext__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        next_of(slf.as_any())
    }

    fn __repr__(&self) -> String {
        format!("AsyncStreamSubscription({})", self.0.feed.state("cancelled"))
    }
}

type Make = Box<dyn FnOnce(Python<'_>, &Connection) -> PyResult<Feed> + Send>;

/// A subscription still to be made, by a call on a thread where it may wait for the snapshot.
#[pyclass(frozen, module = "laminardb._laminardb")]
pub(crate) struct Opening {
    connection: Py<Connection>,
    make: Mutex<Option<Make>>,
    of_relation: bool,
}

impl Opening {
    /// Returns an awaitable that makes a subscription of `connection` on a thread.
    pub(crate) fn awaitable<'py>(
        connection: &Bound<'py, Connection>,
        of_relation: bool,
        make: impl FnOnce(Python<'_>, &Connection) -> PyResult<Feed> + Send + 'static,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = connection.py();
        let make: Make = Box::new(make);
        let opening = Self { connection: connection.clone().unbind(), make: Mutex::new(Some(make)), of_relation };
        aio(py)?.call_method1(intern!(py, "on_thread"), (opening,))
    }
}

#[pymethods]
impl Opening {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.connection)
    }

    fn __call__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let make = self.make.lock().take();
        let make = make.ok_or_else(|| PyRuntimeError::new_err("the subscription was made already"))?;
        let waited = Waited::new(make(py, self.connection.get())?);
        if self.of_relation {
            Ok(Py::new(py, AsyncStreamSubscription(waited))?.into_any())
        } else {
            Ok(Py::new(py, AsyncSubscription(waited))?.into_any())
        }
    }
}
