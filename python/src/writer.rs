//! `Writer`: a source or table kept open for many writes, with its watermark.

use std::sync::Arc;

use laminardb_bridge::{self as engine, Session};
use pyo3::gc::{PyTraverseError, PyVisit};
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::argument;
use crate::capsule::pyarrow_schema;
use crate::detach::{attentive, detached};
use crate::error::checked;
use crate::fork::Owned;
use crate::session::Handle;
use crate::subscription::Listening;
use crate::value::{self, Target};
use crate::visible;

/// Writes to one source or table, and moves its watermark. Made by `Connection.writer()`.
///
/// After `close()`, or that of the connection, all but `close()` raise `IngestionError` 301. `with` closes it.
#[pyclass(frozen, module = "laminardb._laminardb", name = "Writer")]
pub(crate) struct Writer {
    writer: Owned<engine::Writer>,
    handle: Owned<Arc<Handle>>,
    listening: Listening,
}

impl Writer {
    /// Makes the Python object for a writer.
    pub(crate) fn new(writer: engine::Writer, handle: Arc<Handle>, listening: Listening) -> Self {
        Self { writer: Owned::new(writer), handle: Owned::new(handle), listening }
    }

    /// Returns the session of a call; raises an exception if it belongs to another process, or if the transaction that
    /// the writer's connection is bound to has ended.
    fn session(&self, py: Python<'_>) -> PyResult<Session> {
        self.handle.get(py)?.session(py)
    }
}

#[pymethods]
impl Writer {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.listening.traverse(&visit)
    }

    /// Stores rows at once, all or none. `data`, `extra` and errors are those of `Connection.insert()`.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> conn.writer("t").insert({"a": [1, 2]})
    /// >>> len(conn.sql("SELECT * FROM t"))
    /// 2
    #[pyo3(signature = (data, *, extra = "error"))]
    fn insert(&self, py: Python<'_>, data: &Bound<'_, PyAny>, extra: &str) -> PyResult<()> {
        let extra = argument::extra(extra)?;
        let writer = self.writer.get(py)?;
        let relation = checked(py, writer.relation())?;
        let session = self.session(py)?;
        let batches = value::batches(data, &Target::new(session.clone(), Arc::clone(relation), extra))?;
        checked(py, attentive(py, |cancel| writer.insert(&session.with_cancel(cancel), batches))?).map(|_| ())
    }

    /// Waits until all rows given are through all views; always 0.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> conn.writer("t").flush()
    /// 0
    fn flush(&self, py: Python<'_>) -> PyResult<u64> {
        let writer = self.writer.get(py)?;
        let session = self.session(py)?;
        checked(py, attentive(py, |cancel| writer.flush(&session.with_cancel(cancel)))?).map(|()| 0)
    }

    /// Moves the watermark of the relation forward; a lower value is ignored. `TypeError` when it is not an int.
    ///
    /// >>> conn.create_table("t", {"ts": "int64"})
    /// >>> writer = conn.writer("t")
    /// >>> writer.watermark(7)
    /// >>> writer.watermark(3)
    /// >>> writer.current_watermark
    /// 7
    fn watermark(&self, py: Python<'_>, timestamp: i64) -> PyResult<()> {
        let writer = self.writer.get(py)?;
        // A statement that reads a view may hold the commit lock for a while.
        checked(py, detached(py, || writer.advance_watermark(timestamp)))
    }

    /// Flushes and ends the writer; it may be called again.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> writer = conn.writer("t")
    /// >>> writer.close()
    /// >>> writer.insert({"a": 1})
    /// Traceback (most recent call last):
    /// laminardb.IngestionError: ...
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let Some(writer) = self.writer.here() else { return Ok(()) };
        let session = self.session(py)?;
        checked(py, attentive(py, |cancel| writer.close(&session.with_cancel(cancel)))?)
    }

    /// The name of the relation.
    #[getter]
    fn name(&self, py: Python<'_>) -> PyResult<String> {
        checked(py, self.writer.get(py)?.relation()).map(|relation| relation.name.clone())
    }

    /// The columns of the relation as a `pyarrow.Schema`. `ImportError` without pyarrow.
    #[getter]
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        pyarrow_schema(py, &checked(py, self.writer.get(py)?.relation())?.schema)
    }

    /// The watermark of the relation, shared by all its writers; -9223372036854775808 when it was never set.
    #[getter]
    fn current_watermark(&self, py: Python<'_>) -> PyResult<i64> {
        checked(py, self.writer.get(py)?.current_watermark())
    }

    fn __enter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, PyTuple>) -> PyResult<bool> {
        self.close(py)?;
        Ok(false)
    }

    fn __repr__(&self) -> String {
        match self.writer.here().map(engine::Writer::relation) {
            Some(Ok(relation)) => format!("Writer(source='{}', open)", visible::line(&relation.name)),
            _ => "Writer(closed)".to_owned(),
        }
    }
}
