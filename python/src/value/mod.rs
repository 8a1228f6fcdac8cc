//! Converts everything that `insert` accepts into Arrow batches for one relation.
//!
//! Python values become columns of the relation's own types here, by the exact rules, with errors that name column, row
//! and value. Arrow data passes unchanged: the bridge matches names and casts types by the same rules.
//!
//! ```text
//! rows, iterators of rows, dicts of columns -> rows.rs, row.rs -> columns of the bridge, value by value by cells.rs
//! numpy, pandas columns                     -> frame.rs        -> buffers, or values
//! Arrow capsules                            -> capsule.rs      -> unchanged
//! ```

mod cells;
mod frame;
mod json;
pub(crate) mod read;
mod row;
mod rows;
mod scalar;
mod target;

use arrow::array::RecordBatch;
use laminardb_bridge::Error;
use laminardb_bridge::ingest::Extra;
pub(crate) use laminardb_bridge::ingest::decimal;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList};

pub(crate) use self::cells::{Nan, Refusal, column_of};
pub(crate) use self::scalar::{Scalar, recognise};
pub(crate) use self::target::{SHOWN, Target, invalid, library_error, too_deep, unfit};
use crate::capsule;
use crate::error::raised;
use crate::subscription::ChangeBatch;

/// Converts `data` to batches with columns of `target`, matched by name; absent columns are left out.
pub(crate) fn batches(data: &Bound<'_, PyAny>, target: &Target) -> PyResult<Vec<RecordBatch>> {
    let py = data.py();
    if let Ok(row_or_columns) = data.cast::<PyDict>() {
        return rows::from_dict(row_or_columns, target);
    }
    if let Ok(list) = data.cast::<PyList>() {
        return rows::from_list(list, target);
    }
    if let Ok(changes) = data.cast::<ChangeBatch>()
        && changes.get().has_deletes()
    {
        let detail = "the batch holds deleted rows, which cannot be inserted".to_owned();
        return Err(raised(py, &Error::IngestionFailed(detail)));
    }
    if frame::is_pandas_frame(data)? {
        return frame::from_pandas(data, target);
    }
    if let Some(batches) = capsule::batches_of(data, target)? {
        return known_columns(data.py(), batches, target);
    }
    if let Some(batches) = rows::from_object(data, target)? {
        return Ok(batches);
    }
    if let Ok(iterator) = data.cast::<PyIterator>() {
        return rows::from_iterator(iterator, target);
    }
    Err(PyTypeError::new_err(format!("rows cannot be read from {}", data.get_type().name()?)))
}

/// Leaves out the columns of Arrow data that the relation does not have, if that was asked for.
fn known_columns(py: Python<'_>, batches: Vec<RecordBatch>, target: &Target) -> PyResult<Vec<RecordBatch>> {
    if target.extra() == Extra::Refuse {
        return Ok(batches);
    }
    let known = |batch: RecordBatch| {
        let fields = batch.schema_ref().fields().iter().enumerate();
        let found = fields.map(|(place, field)| Ok(target.find(py, field.name())?.map(|_| place)));
        let places: Vec<usize> = found.filter_map(PyResult::transpose).collect::<PyResult<_>>()?;
        batch.project(&places).map_err(|error| raised(py, &Error::IngestionFailed(error.to_string())))
    };
    batches.into_iter().map(known).collect()
}
