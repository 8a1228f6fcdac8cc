//! `RowIterator`: gives the rows of a result as tuples.

use arrow::array::RecordBatch;
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use super::answer::readers;
use crate::value::read::row;

/// Rows of a result, one after the other.
#[pyclass(frozen, module = "laminardb._laminardb")]
pub(super) struct RowIterator {
    batches: Vec<RecordBatch>,
    /// Batch and row of the next tuple.
    next: Mutex<(usize, usize)>,
}

impl RowIterator {
    /// Makes the iterator over the rows of `batches`, none of which may be empty.
    pub(super) fn new(batches: Vec<RecordBatch>) -> Self {
        Self { batches, next: Mutex::new((0, 0)) }
    }
}

#[pymethods]
impl RowIterator {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyTuple>>> {
        let (batch, place) = {
            let mut next = self.next.lock();
            let Some(batch) = self.batches.get(next.0) else { return Ok(None) };
            let place = *next;
            *next = if place.1 + 1 == batch.num_rows() { (place.0 + 1, 0) } else { (place.0, place.1 + 1) };
            (batch, place.1)
        };
        row(py, &readers(py, batch)?, place).map(Some)
    }
}
