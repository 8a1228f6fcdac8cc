//! `_Transaction`: the context manager that `Connection.transaction()` returns for a `with` statement.

use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::detach::{attentive, detached};
use crate::error::checked;
use crate::session::Connection;

/// A `with` block that is one write. Made by `Connection.transaction()`.
///
/// Entering begins the transaction and gives the connection. Leaving commits it, or after an exception rolls it back.
#[pyclass(frozen, module = "laminardb._laminardb", name = "_Transaction")]
pub(crate) struct Transaction(Py<Connection>);

impl Transaction {
    /// Makes a transaction of `connection` that has not begun yet.
    pub(crate) fn new(connection: Py<Connection>) -> Self {
        Self(connection)
    }

    /// Commits the transaction of the calling thread's session.
    fn commit(&self, py: Python<'_>) -> PyResult<()> {
        let session = self.0.get().session(py)?;
        checked(py, attentive(py, |cancel| session.with_cancel(cancel).commit())?)
    }

    /// Rolls back the transaction of the calling thread's session.
    fn rollback(&self, py: Python<'_>) -> PyResult<()> {
        let session = self.0.get().session(py)?;
        checked(py, detached(py, || session.rollback()))
    }
}

#[pymethods]
impl Transaction {
    fn __enter__(&self, py: Python<'_>) -> PyResult<Py<Connection>> {
        let session = self.0.get().session(py)?;
        checked(py, attentive(py, |cancel| session.with_cancel(cancel).begin())?)?;
        Ok(self.0.clone_ref(py))
    }

    #[pyo3(signature = (*exception))]
    fn __exit__(&self, py: Python<'_>, exception: &Bound<'_, PyTuple>) -> PyResult<bool> {
        let raised = exception.get_item(0).is_ok_and(|class| !class.is_none());
        let committed = if raised { Ok(()) } else { self.commit(py) };
        if raised || committed.is_err() {
            // An error of the rollback is ignored: the exception being raised says more than that the transaction has
            // ended already.
            let _ended = self.rollback(py);
        }
        committed.map(|()| false)
    }

    fn __repr__(&self) -> &'static str {
        "Transaction()"
    }
}
