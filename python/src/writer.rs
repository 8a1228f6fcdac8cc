//! `Writer`: a source or table kept open for many writes, with its watermark.

use std::sync::Arc;

use laminardb_bridge as engine;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::capsule::pyarrow_schema;
use crate::detach::attentive;
use crate::error::checked;
use crate::fork::Owned;
use crate::value::{self, Target};

/// Writes to one source or table.
#[pyclass(frozen, module = "laminardb._laminardb", name = "Writer")]
pub(crate) struct Writer(Owned<engine::Writer>);

impl Writer {
    /// The writer as a Python object's value.
    pub(crate) fn new(writer: engine::Writer) -> Self {
        Self(Owned::new(writer))
    }
}

#[pymethods]
impl Writer {
    /// Stores rows, as `Connection.insert` does.
    fn insert(&self, py: Python<'_>, data: &Bound<'_, PyAny>) -> PyResult<()> {
        let writer = self.0.get(py)?;
        let relation = checked(py, writer.relation())?;
        let batches = value::batches(data, &Target::new(&relation.name, Arc::clone(&relation.schema)))?;
        checked(py, attentive(py, |stop| writer.insert(batches, stop))?).map(|_| ())
    }

    /// Waits until all rows given are through all views; always 0.
    fn flush(&self, py: Python<'_>) -> PyResult<u64> {
        let writer = self.0.get(py)?;
        checked(py, attentive(py, |stop| writer.flush(stop))?).map(|()| 0)
    }

    /// Moves the watermark forward; a lower value is ignored.
    fn watermark(&self, py: Python<'_>, timestamp: i64) -> PyResult<()> {
        checked(py, self.0.get(py)?.advance_watermark(timestamp))
    }

    /// Flushes and ends the writer.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let Some(writer) = self.0.here() else { return Ok(()) };
        checked(py, attentive(py, |stop| writer.close(stop))?)
    }

    /// The name of the relation.
    #[getter]
    fn name(&self, py: Python<'_>) -> PyResult<String> {
        checked(py, self.0.get(py)?.relation()).map(|relation| relation.name.clone())
    }

    /// The columns of the relation as a `pyarrow.Schema`.
    #[getter]
    fn schema<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        pyarrow_schema(py, &checked(py, self.0.get(py)?.relation())?.schema)
    }

    /// The watermark of the relation.
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
            Some(Ok(relation)) => format!("Writer(source='{}', open)", relation.name),
            _ => "Writer(closed)".to_owned(),
        }
    }
}
