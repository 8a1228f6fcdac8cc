//! `_Transaction`: the context manager that `Connection.transaction()` returns for a `with` statement, and
//! `_TransactionInfo`, which lists who holds and who waits for the right to write.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use laminardb_bridge as engine;
use parking_lot::Mutex;
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::detach::{attentive, detached};
use crate::error::{checked, raised};
use crate::fork::Owned;
use crate::session::{Connection, Held, aio, leave_ended};
use crate::visible;

/// A `with` block that is one write. Made by `Connection.transaction()`.
///
/// Entering begins the transaction and gives a connection that is bound to it. Leaving commits it, or after an
/// exception rolls it back.
#[pyclass(frozen, module = "laminardb._laminardb", name = "_Transaction")]
pub(crate) struct Transaction {
    connection: Py<Connection>,
    /// The transaction of the block that was entered and not left.
    entered: Owned<Mutex<Option<Arc<Held>>>>,
}

impl Transaction {
    /// Makes a transaction of `connection` that has not begun yet.
    pub(crate) fn new(connection: Py<Connection>) -> Self {
        Self { connection, entered: Owned::new(Mutex::new(None)) }
    }

    /// Ends the block's transaction: commits it, or rolls it back if the block has `failed` or the commit fails.
    fn end(&self, py: Python<'_>, failed: bool) -> PyResult<()> {
        let Some(held) = self.entered.get(py)?.lock().take() else { return Ok(()) };
        let transaction = held.transaction();
        // One that the block itself has committed or rolled back is left alone.
        let committed = match failed || !transaction.is_open() {
            true if !failed && held.was_closed() => {
                let detail = "the connection of the block was closed in it, which rolled its transaction back";
                Err(raised(py, &engine::Error::QueryFailed(detail.to_owned())))
            }
            true => Ok(()),
            false => attentive(py, |cancel| transaction.commit(cancel)).and_then(|done| checked(py, done)),
        };
        if transaction.is_open() {
            // An error of the rollback is ignored: the exception being raised says more than that the transaction has
            // ended already.
            let _ended = detached(py, || transaction.rollback());
        }
        leave_ended(py)?;
        committed
    }
}

#[pymethods]
impl Transaction {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.connection)
    }

    fn __enter__(&self, py: Python<'_>) -> PyResult<Connection> {
        let entered = self.entered.get(py)?;
        if entered.lock().is_some() {
            let detail = "the block of this transaction is entered already".to_owned();
            return Err(raised(py, &engine::Error::QueryFailed(detail)));
        }
        let (held, bound) = self.connection.get().enter(py)?;
        let before = entered.lock().replace(held);
        drop(before);
        Ok(bound)
    }

    #[pyo3(signature = (*exception))]
    fn __exit__(&self, py: Python<'_>, exception: &Bound<'_, PyTuple>) -> PyResult<bool> {
        let failed = exception.get_item(0).is_ok_and(|class| !class.is_none());
        self.end(py, failed).map(|()| false)
    }

    fn __aenter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        aio(slf.py())?.call_method1(intern!(slf.py(), "enter"), (slf,))
    }

    #[pyo3(signature = (*exception))]
    fn __aexit__<'py>(slf: &Bound<'py, Self>, exception: &Bound<'py, PyTuple>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let exit = slf.getattr(intern!(py, "__exit__"))?.into_any();
        let arguments: Vec<Bound<'py, PyAny>> = std::iter::once(exit).chain(exception.iter()).collect();
        aio(py)?.call_method1(intern!(py, "on_thread"), PyTuple::new(py, arguments)?)
    }

    fn __repr__(&self) -> &'static str {
        "Transaction()"
    }
}

/// Who holds the right to write, or waits for it. Made by `Connection.transactions()`.
#[pyclass(frozen, module = "laminardb._laminardb", name = "_TransactionInfo")]
pub(crate) struct TransactionInfo(engine::TransactionInfo);

impl TransactionInfo {
    /// Makes the Python object of `info`.
    pub(crate) fn new(info: engine::TransactionInfo) -> Self {
        Self(info)
    }
}

#[pymethods]
impl TransactionInfo {
    /// The name of the task or thread that began the transaction, or that waits.
    #[getter]
    fn name(&self) -> &str {
        self.0.name.as_deref().unwrap_or("another call")
    }

    /// When the transaction began, or the wait, as a datetime in UTC.
    #[getter]
    fn since<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let seconds = self.0.since.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let datetime = py.import(intern!(py, "datetime"))?;
        let utc = datetime.getattr(intern!(py, "timezone"))?.getattr(intern!(py, "utc"))?;
        datetime.getattr(intern!(py, "datetime"))?.call_method1(intern!(py, "fromtimestamp"), (seconds, utc))
    }

    /// The last statement or call in the transaction, or the one that waits; None when it is not known.
    #[getter]
    fn statement(&self) -> Option<&str> {
        self.0.statement.as_deref()
    }

    /// Whether this is the transaction under way; otherwise it is a call that waits for its end.
    #[getter]
    fn holds(&self) -> bool {
        self.0.holds
    }

    fn __repr__(&self) -> String {
        let word = if self.0.holds { "holds" } else { "waits" };
        let seconds = SystemTime::elapsed(&self.0.since).unwrap_or_default().as_secs();
        format!("TransactionInfo('{}' {word} for {seconds} s)", visible::line(self.name()))
    }
}
