//! `Writer`: a source or table kept open for many writes, with its watermark.

use std::sync::Arc;

use laminardb_bridge as engine;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::capsule::pyarrow_schema;
use crate::detach::attentive;
use crate::error::checked;
use crate::fork::Owned;
use crate::subscription::Listening;
use crate::value::{self, Target};
use crate::visible;

/// Writes to one source or table, and moves its watermark. Made by `Connection.writer()`.
///
/// After `close()`, or that of the connection, all but `close()` raise `IngestionError` 301. `with` closes it.
#[pyclass(frozen, module = "laminardb._laminardb", name = "Writer")]
pub(crate) struct Writer(Owned<engine::Writer>, #[expect(dead_code, reason = "it is held, not read")] Arc<Listening>);

impl Writer {
    /// Makes the Python object for a writer.
    pub(crate) fn new(writer: engine::Writer, listening: Arc<Listening>) -> Self {
        Self(Owned::new(writer), listening)
    }
}

#[pymethods]
impl Writer {
    /// Stores rows at once, all or none. `data` and errors are those of `Connection.insert()`.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> conn.writer("t").insert({"a": [1, 2]})
    /// >>> len(conn.sql("SELECT * FROM t"))
    /// 2
    fn insert(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let writer = self.0.get(py)?;
        let relation = checked(py, writer.relation())?;
        let batches = value::batches(data, &Target::new(&relation.name, Arc::clone(&relation.schema)))?;
        checked(py, attentive(py, |stop| writer.insert(batches, stop))?).map(|_| ())
    }

    /// Waits until all rows given are through all views; always 0.
    ///
    /// >>> conn.create_table("t", {"a": "int64"})
    /// >>> conn.writer("t").flush()
    /// 0
    fn flush(&self, py: Python<'_>) -> PyResult<u64> {
        let writer = self.0.get(py)?;
        checked(py, attentive(py, |stop| writer.flush(stop))?).map(|()| 0)
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
        checked(py, self.0.get(py)?.advance_watermark(timestamp))
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
        let Some(writer) = self.0.here() else { return Ok(()) };
        checked(py, attentive(py, |stop| writer.close(stop))?)
    }

    /// The name of the relation.
    #[getter]
    fn name(&self, py: Python<'_>) -> PyResult<String> {
        checked(py, self.0.get(py)?.relation()).map(|relation| relation.name.clone())
    }

    /// The columns of the relation as a `pyarrow.Schema`. `ImportError` without pyarrow.
    #[getter]
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        pyarrow_schema(py, &checked(py, self.0.get(py)?.relation())?.schema)
    }

    /// The watermark of the relation, shared by all its writers; -9223372036854775808 when it was never set.
    #[getter]
    fn current_watermark(&self, py: Python<'_>) -> PyResult<i64> {
        checked(py, self.0.get(py)?.current_watermark())
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
        match self.0.here().map(engine::Writer::relation) {
            Some(Ok(relation)) => format!("Writer(source='{}', open)", visible::line(&relation.name)),
            _ => "Writer(closed)".to_owned(),
        }
    }
}
